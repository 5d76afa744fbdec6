"""Which objectives a flow is trained with, and in which order."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from boltzgen.errors import InputError
from boltzgen.models.flow import FlowModel
from boltzgen.models.model import Internal
from boltzgen.objectives.bootstrap import Bootstrap
from boltzgen.objectives.cooling import Cooling
from boltzgen.objectives.frames import FrameLoss, FrameObjective
from boltzgen.objectives.guided import Guidance, GuidedReverseKL, covered
from boltzgen.objectives.likelihood import Likelihood
from boltzgen.objectives.mass_covering import MassCovering
from boltzgen.objectives.objective import Objective
from boltzgen.objectives.reverse_kl import ReverseKL
from boltzgen.objectives.reweighted_rounds import ReweightedRounds
from boltzgen.objectives.reweighting import Reweighting, Tempering
from boltzgen.objectives.trust_region import TrustRegion
from boltzgen.objectives.walker_kl import WalkerKL
from boltzgen.training.config import TrainingConfig
from boltzgen.training.data import TrainingData, required_frames
from boltzgen.training.stage import Stage

WARMUP_PASSES = 4

StageBuilder = Callable[[Any, TrainingData, TrainingConfig], list[Stage]]


def flow_stages(model: FlowModel, data: TrainingData, config: TrainingConfig) -> list[Stage]:
    """The stages of ``config.objective``: a likelihood warm-up on frames, where there are any, comes first.

    "auto" is "guided", and "reverse-kl" where there are no frames of conformers. The counts of the walkers
    grow as the stages run. Raises InputError where the objective needs frames or walkers and there are none.
    """
    name = config.objective
    if name == "auto":
        name = "guided" if data.conformers is not None else "reverse-kl"
    if data.conformers is not None:
        kept = covered(model.coordinates.base, data.conformers.frames.stiff)
        data = replace(data, conformers=data.conformers.where(kept))
    warm_up, main = [], OBJECTIVES[name](model, data, config)
    start = data.frames if data.conformers is None else data.conformers.frames
    if start is not None and config.warmup_share > 0 and name != "likelihood":
        warm_up = [warm_up_stage(model, start, data, config)]
    return [*warm_up, *main]


def on_frames(loss: FrameLoss, name: str = "frames") -> StageBuilder:
    """Training that minimises ``loss(model, batch, progress, generator)`` over batches of the frames.

    Parameters
    ----------
    loss
        Returns a scalar. batch: internal coordinates of frames; progress through the stage: 0 to 1;
        generator: for the loss's own random numbers. It keeps nothing from one call to the next: processes
        share its batches.
    name
        Of the stage, which takes the whole budget at ``TrainingConfig.learning_rate``.
    """

    def build(model: Any, data: TrainingData, config: TrainingConfig) -> list[Stage]:
        objective = FrameObjective(loss, model, required_frames(data), config.batch_size, data.generator)
        return [Stage(name, 1.0, config.learning_rate, objective)]

    return build


def cooling(config: TrainingConfig) -> Cooling:
    """From the hot start to the target's temperature within the annealing share of a stage."""
    return Cooling(config.hot_factor, config.anneal_share)


def main_stage(name: str, objective: Objective, config: TrainingConfig) -> Stage:
    """What the warm-up leaves of the budget for an ``objective`` that cools to the target's temperature."""
    share = 1.0 - config.warmup_share
    return Stage(name, share, config.learning_rate, objective, steady_from=config.anneal_share)


def warm_up_stage(model: FlowModel, frames: Internal, data: TrainingData, config: TrainingConfig) -> Stage:
    """Maximum likelihood of ``frames``.

    It goes through the frames ``WARMUP_PASSES`` times at most. On fifty thousand of the tetrapeptide the
    likelihood of frames held out is best after two; after twenty-six it is six nats worse.
    """
    return Stage(
        "likelihood",
        config.warmup_share,
        config.warmup_learning_rate,
        Likelihood(model, frames, config.batch_size, data.generator),
        most_steps=math.ceil(WARMUP_PASSES * len(frames.stiff) / config.batch_size),
    )


def _likelihood(model: FlowModel, data: TrainingData, config: TrainingConfig) -> list[Stage]:
    if data.frames is None:
        raise InputError("Objective 'likelihood' learns from frames and there are none; give some.")
    objective = Likelihood(model, data.frames, config.batch_size, data.generator)
    return [Stage("likelihood", 1.0, config.learning_rate, objective)]


def _reverse_kl(model: FlowModel, data: TrainingData, config: TrainingConfig) -> list[Stage]:
    return [main_stage("reverse KL", _own_samples(model, data, config, cooling(config)), config)]


def _own_samples(
    model: FlowModel, data: TrainingData, config: TrainingConfig, schedule: Cooling
) -> ReverseKL:
    n, outliers = config.batch_size, config.outliers
    return ReverseKL(model, data.target, n, data.generator, schedule, outliers)


def _guided(model: FlowModel, data: TrainingData, config: TrainingConfig) -> list[Stage]:
    if data.conformers is None:
        raise InputError("Objective 'guided' needs frames of every conformer; there are none; give some.")
    objective = GuidedReverseKL(
        model,
        data.target,
        data.conformers,
        config.batch_size,
        data.generator,
        cooling(config),
        config.outliers,
        Guidance(**config.guided.model_dump()),
    )
    return [main_stage("guided reverse KL", objective, config)]


def _walkers(model: FlowModel, data: TrainingData, config: TrainingConfig) -> list[Stage]:
    if data.walkers is None:
        raise InputError("Objective 'walkers' needs a population of walkers and there is none; give one.")
    objective = WalkerKL(
        model,
        data.target,
        data.walkers,
        config.batch_size,
        data.generator,
        cooling(config),
        config.outliers,
        config.walkers.steps,
        config.walkers.weight,
    )
    return [main_stage("walkers", objective, config)]


def _mass_covering(model: FlowModel, data: TrainingData, config: TrainingConfig) -> list[Stage]:
    settings = config.mass_covering
    objective = MassCovering(
        model,
        data.target,
        config.batch_size,
        data.generator,
        Bootstrap(model, data.target, settings.stages, settings.leapfrog),
        settings.particles,
        settings.refresh_every,
        settings.particles * settings.buffer_refreshes,
        settings.correction_bound,
    )
    return [Stage("mass covering", 1.0 - config.warmup_share, config.learning_rate, objective)]


def _annealed(model: FlowModel, data: TrainingData, config: TrainingConfig) -> list[Stage]:
    """Reverse KL at the hot temperature, then rounds of forward KL on the model's own reweighted samples.

    A plateau ends neither: the first is not at the target yet, and figures of the second stand still between
    its rounds.
    """
    settings = config.annealed
    share = 1.0 - config.warmup_share
    always_hot = Cooling(config.hot_factor, math.inf)
    reweighting: Reweighting = Tempering(settings.effective_share)
    if settings.trust_region:
        reweighting = TrustRegion(settings.max_divergence, settings.max_entropy_loss)
    hot = _own_samples(model, data, config, always_hot)
    rounds = ReweightedRounds(
        model,
        data.target,
        config.batch_size,
        data.generator,
        Cooling(config.hot_factor, settings.rungs),
        reweighting,
        settings.rungs + settings.repeats,
        settings.samples,
    )
    rate = config.learning_rate
    return [
        Stage("hot reverse KL", share * settings.hot_share, rate, hot, steady_from=1.0),
        Stage("cooling", share * (1.0 - settings.hot_share), rate, rounds, steady_from=1.0),
    ]


OBJECTIVES: dict[str, StageBuilder] = {
    "reverse-kl": _reverse_kl,
    "guided": _guided,
    "walkers": _walkers,
    "mass-covering": _mass_covering,
    "annealed": _annealed,
    "likelihood": _likelihood,
}
"""A flow's training by the name of its objective. A new one is its class, a builder and a line here."""
