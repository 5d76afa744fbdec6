"""Models that encode: the order of their training, and what an autoencoder says of itself afterwards."""

from __future__ import annotations

import torch

from boltzgen.models.autoencoder import Autoencoder, reconstruction_error
from boltzgen.models.model import Internal
from boltzgen.models.vae import VariationalAutoencoder
from boltzgen.objectives.elbo import EvidenceLowerBound
from boltzgen.objectives.extended_reverse_kl import ExtendedReverseKL
from boltzgen.objectives.outliers import Outliers
from boltzgen.objectives.reconstruction import LatentDensity, Reconstruction
from boltzgen.training.config import TrainingConfig
from boltzgen.training.data import TrainingData, required_frames
from boltzgen.training.recipes import cooling, main_stage
from boltzgen.training.stage import Stage

JUDGED_FRAMES = 2000


def vae_stages(model: VariationalAutoencoder, data: TrainingData, config: TrainingConfig) -> list[Stage]:
    """The bound on frames. Raises InputError where there are none."""
    objective = EvidenceLowerBound(model, required_frames(data), config.batch_size, data.generator)
    return [Stage("ELBO", 1.0, config.learning_rate, objective)]


def vae_energy_stages(
    model: VariationalAutoencoder, data: TrainingData, config: TrainingConfig
) -> list[Stage]:
    """The bound on thermal frames as a warm-up, then reverse KL on (x, z) beside it, hot first and cooled."""
    frames, generator, n = data.frames, data.generator, config.batch_size
    objective = ExtendedReverseKL(
        model, data.target, frames, n, generator, cooling(config), Outliers(config.drop_fraction)
    )
    main = main_stage("extended reverse KL", objective, config)
    if frames is None or config.warmup_share == 0:
        return [main]
    warm_up = EvidenceLowerBound(model, frames, n, generator)
    return [Stage("ELBO", config.warmup_share, config.warmup_learning_rate, warm_up), main]


def autoencoder_stages(model: Autoencoder, data: TrainingData, config: TrainingConfig) -> list[Stage]:
    """Reconstruction of frames; then the mixture over their codes, at once, and then its weights."""
    frames, generator, n = required_frames(data), data.generator, config.batch_size
    share = model.config.latent_share
    return [
        Stage(
            "reconstruction",
            1.0 - share,
            config.learning_rate,
            Reconstruction(model, frames, n, generator),
        ),
        Stage("latent density", share, config.learning_rate, LatentDensity(model, frames, n, generator)),
    ]


def autoencoder_figures(model: Autoencoder, data: TrainingData) -> dict[str, float]:
    """How far frames are from what their codes decode to: RMSD superposed, and the loss of training."""
    frames = required_frames(data)
    step = max(1, len(frames.stiff) // JUDGED_FRAMES)
    judged = Internal(frames.torsions[::step], frames.stiff[::step])
    with torch.no_grad():
        internal = float(model.reconstruction_loss(judged).mean())
    return {"reconstruction_error_nm": reconstruction_error(model, judged), "reconstruction_loss": internal}
