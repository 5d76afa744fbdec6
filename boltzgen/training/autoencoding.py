"""Training of models that encode: autoencoders on frames, variational ones on frames or the energy alone."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from boltzgen.models.autoencoder import Autoencoder, reconstruction_error
from boltzgen.models.model import Internal
from boltzgen.models.vae import VariationalAutoencoder
from boltzgen.objectives.elbo import beta_schedule, elbo_loss, extended_reverse_kl
from boltzgen.training.config import TrainingConfig
from boltzgen.training.materials import Materials, batch, required_frames
from boltzgen.training.recipes import inverse_temperature_schedule, main_stage
from boltzgen.training.stage import Loss, Stage, Stateless

JUDGED_FRAMES = 2000
GUIDE_SHARE = 0.5  # frames to a sample of the reverse KL
LAST_WEIGHT = 0.2  # of the bound at the end, 1 at first: frames are not quite as populated as they should be


def elbo_on_frames(
    model: VariationalAutoencoder, frames: Internal, progress: float, generator: torch.Generator
) -> Tensor:
    """Minus the bound that ``model.config`` asks for, its latent terms coming in over the warm-up."""
    config = model.config
    beta = beta_schedule(progress, config.beta_warmup_share)
    return elbo_loss(model, frames, generator, config.importance_samples, beta)


def vae_energy_stages(
    model: VariationalAutoencoder, materials: Materials, config: TrainingConfig
) -> list[Stage]:
    """The bound on thermal frames as a warm-up, then reverse KL on (x, z) beside it, hot first and annealed.

    Reverse KL alone loses what r(z|x) covers badly, and few samples then own the weights: with the bound the
    share of effective samples of alanine dipeptide rises from below 1 % to 16 %.
    """
    target, frames, generator = materials.target, materials.frames, materials.generator
    schedule = inverse_temperature_schedule(config)

    def bound(progress: float) -> Loss:
        assert frames is not None
        drawn = batch(frames, config.batch_size, generator)
        return Loss(elbo_on_frames(model, drawn, progress, generator))

    def loss(progress: float) -> Loss:
        value, info = extended_reverse_kl(
            model, target, config.batch_size, generator, schedule(progress), config.drop_fraction
        )
        if frames is not None:
            drawn = batch(frames, math.ceil(GUIDE_SHARE * config.batch_size), generator)
            weight = 1.0 - (1.0 - LAST_WEIGHT) * progress
            value = value + weight * elbo_on_frames(model, drawn, 1.0, generator)
        return Loss(value, info.log_weights, info.n_dropped)

    main = main_stage("extended reverse KL", loss, config, Stateless(generator, target))
    if frames is None or config.warmup_share == 0:
        return [main]
    shared = Stateless(generator)
    return [Stage("ELBO", config.warmup_share, config.warmup_learning_rate, bound, stateless=shared), main]


def autoencoder_stages(model: Autoencoder, materials: Materials, config: TrainingConfig) -> list[Stage]:
    """Reconstruction of frames; then the mixture over their codes, at once, and then its weights."""
    frames, generator = required_frames(materials), materials.generator

    def reconstruction(progress: float) -> Loss:
        drawn = batch(frames, config.batch_size, generator)
        return Loss(model.reconstruction_loss(drawn).mean())

    def latent(progress: float) -> Loss:
        if not model.has_latent_density:
            model.fit_latent(frames, generator)
        drawn = batch(frames, config.batch_size, generator)
        return Loss(-model.latent_log_prob(drawn).mean())

    share = model.config.latent_share
    return [
        Stage(
            "reconstruction",
            1.0 - share,
            config.learning_rate,
            reconstruction,
            stateless=Stateless(generator),
        ),
        Stage("latent density", share, config.learning_rate, latent),
    ]


def autoencoder_figures(model: Autoencoder, materials: Materials) -> dict[str, float]:
    """How far frames are from what their codes decode to: RMSD superposed, and the loss of training."""
    frames = required_frames(materials)
    step = max(1, len(frames.stiff) // JUDGED_FRAMES)
    judged = Internal(frames.torsions[::step], frames.stiff[::step])
    with torch.no_grad():
        internal = float(model.reconstruction_loss(judged).mean())
    return {"reconstruction_error_nm": reconstruction_error(model, judged), "reconstruction_loss": internal}
