"""What is trained on what, in which order: the stages of a run."""

from collections.abc import Callable

import torch

from boltzgen.energies.target import BoltzmannTarget
from boltzgen.models.flow import FlowModel, Internal
from boltzgen.objectives.likelihood import negative_log_likelihood
from boltzgen.objectives.reverse_kl import reverse_kl
from boltzgen.training.config import TrainingConfig
from boltzgen.training.trainer import Loss, Stage


def inverse_temperature_schedule(config: TrainingConfig) -> Callable[[float], float]:
    """β/β_target over a stage: from 1/hot_factor to 1, geometrically, within the annealing share."""

    def schedule(progress: float) -> float:
        if config.anneal_share == 0.0:
            return 1.0
        return config.hot_factor ** (min(progress / config.anneal_share, 1.0) - 1.0)

    return schedule


def reverse_kl_stage(
    model: FlowModel, target: BoltzmannTarget, config: TrainingConfig, generator: torch.Generator
) -> Stage:
    """Reverse KL with path gradients, started hot and annealed to the target temperature."""
    schedule = inverse_temperature_schedule(config)

    def loss(progress: float) -> Loss:
        value, info = reverse_kl(
            model, target, config.batch_size, generator, schedule(progress), config.drop_fraction
        )
        return Loss(value, info.log_weights, info.n_dropped)

    share = 1.0 - config.warmup_share
    return Stage("reverse KL", share, config.learning_rate, loss, steady_from=config.anneal_share)


def likelihood_stage(
    model: FlowModel, frames: Internal, config: TrainingConfig, generator: torch.Generator
) -> Stage:
    """Maximum likelihood of ``frames``, in batches drawn with replacement."""

    def loss(progress: float) -> Loss:
        chosen = torch.randint(
            len(frames.stiff), (config.batch_size,), generator=generator, device=frames.stiff.device
        )
        batch = Internal(frames.torsions[chosen], frames.stiff[chosen])
        return Loss(negative_log_likelihood(model, batch))

    return Stage("likelihood", config.warmup_share, config.warmup_learning_rate, loss)
