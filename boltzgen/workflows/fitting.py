"""Training within a run: what the model is trained on, and for how long."""

from __future__ import annotations

from dataclasses import replace

import torch

from boltzgen.accelerators import costs_a_wait
from boltzgen.ensemble import Ensemble
from boltzgen.memory import is_shortage
from boltzgen.models.model import Model
from boltzgen.objectives.walkers import Walkers
from boltzgen.problem import Problem
from boltzgen.progress import StageProgress, Stopwatch
from boltzgen.sampling.frames import thermal_dynamics
from boltzgen.training.checkpoint import Checkpoints
from boltzgen.training.config import TrainingConfig
from boltzgen.training.data import TrainingData
from boltzgen.training.families import family
from boltzgen.training.held_out import held_out_measure
from boltzgen.training.result import Progress, TrainingResult
from boltzgen.training.trainer import train
from boltzgen.workflows.config import WRITING_SECONDS, SampleConfig, whole_budget
from boltzgen.workflows.given_reference import reference_positions
from boltzgen.workflows.hot_frames import HOT, hot_frames
from boltzgen.workflows.refinement import pay_off, reserve
from boltzgen.workflows.training_data import energy_data, internal_frames

LEAST_TRAINING_SHARE = 0.1


def training_data(
    config: SampleConfig,
    problem: Problem,
    model: Model,
    reference: Ensemble | None,
    generator: torch.Generator,
) -> tuple[TrainingData, str]:
    """What the model is trained on, and the same in words."""
    own = internal_frames(model, problem.frames.thermal.positions)
    if family(config.model).trained_on == "energy":
        walkers = _walkers(config, problem, generator) if config.training.objective == "walkers" else None
        data = replace(energy_data(problem, model, generator), walkers=walkers)
        return data, f"the energy, after a start on {len(own.stiff)} frames of its own replica exchange"
    hot, beside = None, ""
    if family(config.model).hot_frames:
        hot = internal_frames(model, hot_frames(problem, generator))
        beside = f", and {len(hot.stiff)} at {HOT * config.temperature:g} K"
    if reference is None:
        data = TrainingData(problem.target, generator, own, hot)
        return data, f"{len(own.stiff)} frames of its own short replica exchange{beside}"
    frames = internal_frames(model, reference_positions(reference, generator))
    data = TrainingData(problem.target, generator, frames, hot)
    return data, f"{len(frames.stiff)} frames of {config.reference}{beside}"


def fitted(
    config: SampleConfig,
    problem: Problem,
    model: Model,
    data: TrainingData,
    watch: Stopwatch,
    checkpoints: Checkpoints | None = None,
    watched: bool = True,
) -> TrainingResult:
    """Train ``model`` in the time that the budget leaves, or for the steps that ``config`` asks for.

    Unless it is ``watched``, no energies are spent on judging the model while it trains.

    Where the memory of a GPU is too small for a step, training goes on with half the batch, once.
    """
    settings = config.training
    if settings.max_steps is None and settings.budget_seconds is None:
        budget = whole_budget(config, data.target.n_atoms)
        rest = budget - watch.elapsed - _sampling_reserve(config, budget)
        settings = settings.model_copy(update={"budget_seconds": max(rest, LEAST_TRAINING_SHARE * budget)})

    def relay(progress: Progress) -> None:
        note = f"{progress.stage}, step {progress.step}"
        if progress.ess_fraction is not None:
            note += f", ESS {100 * progress.ess_fraction:.1f} %, KL {progress.reverse_kl:.2f}"
        watch.report(StageProgress("training", progress.fraction, progress.seconds_left, note))

    def trained(settings: TrainingConfig) -> TrainingResult:
        stages = family(config.model).stages(model, data, settings)
        if not watched:
            return train(model, stages, settings, relay, checkpoints)
        measure = held_out_measure(model, data, family(config.model).trained_on == "energy")
        return train(
            model,
            stages,
            settings,
            relay,
            checkpoints,
            reserve(config, model),
            measure,
            pay_off(config, problem, model, watch),
        )

    with watch.stage("training"):
        try:
            return trained(settings)
        except RuntimeError as error:
            if settings.batch_size < 2 or not (costs_a_wait(problem.device) and is_shortage(error)):
                raise
        half = settings.batch_size // 2
        watch.warn(f"{settings.batch_size} samples a step exceed the GPU's memory: {half} are taken.")
        torch.cuda.empty_cache()
        return trained(settings.model_copy(update={"batch_size": half}))


def _walkers(config: SampleConfig, problem: Problem, generator: torch.Generator) -> Walkers:
    """Walkers that go on from thermal frames drawn at random."""
    frames = config.frames
    dynamics = thermal_dynamics(problem.target, problem.masses, frames.time_step, frames.friction)
    return Walkers(dynamics, problem.frames.thermal.positions, config.training.walkers.number, generator)


def _sampling_reserve(config: SampleConfig, budget: float) -> float:
    """Seconds kept back for sampling and writing, at 25 k samples a second."""
    return min(WRITING_SECONDS + config.n_samples / 25_000, 0.3 * budget)
