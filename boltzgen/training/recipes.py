"""What is trained on what, in which order: the stages of a run."""

from collections.abc import Callable
from dataclasses import replace

import torch

from boltzgen.energies.target import BoltzmannTarget
from boltzgen.errors import InputError
from boltzgen.models.flow import FlowModel, Internal
from boltzgen.objectives.likelihood import negative_log_likelihood
from boltzgen.objectives.reverse_kl import reverse_kl
from boltzgen.objectives.walkers import Proposals, Walkers, walker_likelihood
from boltzgen.training.config import TrainingConfig
from boltzgen.training.trainer import Loss, Stage

AUTO = "reverse-kl"


def stages(
    model: FlowModel,
    target: BoltzmannTarget,
    frames: Internal | None,
    config: TrainingConfig,
    generator: torch.Generator,
    walkers: Walkers | None = None,
) -> list[Stage]:
    """The stages of ``config.objective``: a likelihood warm-up on ``frames``, where given, comes first.

    walkers: the population that objective "walkers" moves; its counts grow as the stages run. Raises
    InputError where the objective needs frames or walkers and there are none.
    """
    objective = AUTO if config.objective == "auto" else config.objective
    if objective == "likelihood":
        if frames is None:
            raise InputError("Objective 'likelihood' learns from frames and there are none; give some.")
        stage = likelihood_stage(model, frames, config, generator)
        return [replace(stage, share=1.0, learning_rate=config.learning_rate)]
    warm_up = []
    if frames is not None and config.warmup_share > 0:
        warm_up = [likelihood_stage(model, frames, config, generator)]
    if objective == "walkers":
        if walkers is None:
            raise InputError("Objective 'walkers' needs a population of walkers and there is none; give one.")
        return [*warm_up, walkers_stage(model, target, walkers, config, generator)]
    return [*warm_up, reverse_kl_stage(model, target, config, generator)]


def inverse_temperature_schedule(config: TrainingConfig) -> Callable[[float], float]:
    """β/β_target over a stage: from 1/hot_factor to 1, geometrically, within the annealing share."""

    def schedule(progress: float) -> float:
        if config.anneal_share == 0.0:
            return 1.0
        return config.hot_factor ** (min(progress / config.anneal_share, 1.0) - 1.0)

    return schedule


def likelihood_stage(
    model: FlowModel, frames: Internal, config: TrainingConfig, generator: torch.Generator
) -> Stage:
    """Maximum likelihood of ``frames``, in batches drawn with replacement: the warm-up."""

    def loss(progress: float) -> Loss:
        chosen = torch.randint(
            len(frames.stiff), (config.batch_size,), generator=generator, device=frames.stiff.device
        )
        batch = Internal(frames.torsions[chosen], frames.stiff[chosen])
        return Loss(negative_log_likelihood(model, batch))

    return Stage("likelihood", config.warmup_share, config.warmup_learning_rate, loss)


def reverse_kl_stage(
    model: FlowModel,
    target: BoltzmannTarget,
    config: TrainingConfig,
    generator: torch.Generator,
) -> Stage:
    """Reverse KL with path gradients, started hot and annealed to the target temperature."""
    schedule = inverse_temperature_schedule(config)
    share = 1.0 - config.warmup_share

    def loss(progress: float) -> Loss:
        value, info = reverse_kl(
            model, target, config.batch_size, generator, schedule(progress), config.drop_fraction
        )
        return Loss(value, info.log_weights, info.n_dropped)

    return Stage("reverse KL", share, config.learning_rate, loss, steady_from=config.anneal_share)


def walkers_stage(
    model: FlowModel,
    target: BoltzmannTarget,
    walkers: Walkers,
    config: TrainingConfig,
    generator: torch.Generator,
) -> Stage:
    """Reverse KL and, at the same temperature, forward KL on walkers that its samples are proposals for."""
    schedule = inverse_temperature_schedule(config)
    share = 1.0 - config.warmup_share

    def loss(progress: float) -> Loss:
        beta = schedule(progress)
        walkers.move(config.walkers.steps, target.temperature / beta, generator)
        forward, log_prob = walker_likelihood(model, walkers.positions)
        reverse, info = reverse_kl(model, target, config.batch_size, generator, beta, config.drop_fraction)
        proposals = Proposals(info.positions, info.reduced_energies, info.log_prob)
        walkers.exchange(log_prob, proposals, beta, generator)
        return Loss(reverse + config.walkers.weight * forward, info.log_weights, info.n_dropped)

    return Stage("walkers", share, config.learning_rate, loss, steady_from=config.anneal_share)
