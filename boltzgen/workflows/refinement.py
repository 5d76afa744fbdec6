"""Refinement within a run: when it is needed, how much time it has, and what it says afterwards."""

from __future__ import annotations

import math

import torch

from boltzgen.ensemble import Ensemble
from boltzgen.models.flow import FlowModel
from boltzgen.models.model import Model
from boltzgen.problem import Problem
from boltzgen.progress import StageProgress, Stopwatch
from boltzgen.records.run import RefinementSummary
from boltzgen.refinement.refine import refine
from boltzgen.training.clock import Reserve
from boltzgen.training.payoff import PayOff
from boltzgen.workflows.config import (
    WRITING_SECONDS,
    SampleConfig,
    wanted_effective_samples,
    wanted_share,
    whole_budget,
)
from boltzgen.workflows.diagnostics import replica_exchange_samples
from boltzgen.workflows.sampling import draw_log_weights

MOST_RESERVE = 0.15  # of a run's budget
HALF_TIME_SHARE = (
    0.6  # of the share asked for: a model that has it at half-time will have the rest at the end
)
PROPOSALS = 20.0  # a sample, that the reserve pays for
ATOMS_PER_SECOND = 500_000.0  # a flow's samples a second, times their atoms, on two cores
LEAST_SECONDS = 0.5


def refines(config: SampleConfig, model: Model) -> bool:
    """Whether this run may be refined: it is to end by time, and its model has an exact density.

    A run of fixed steps is to come out the same each time, which what fits into a time does not.
    """
    by_time = config.training.max_steps is None or config.budget_seconds is not None
    return config.refine == "auto" and by_time and isinstance(model, FlowModel)


def pay_off(config: SampleConfig, problem: Problem, model: Model, watch: Stopwatch) -> PayOff | None:
    """What ends the training of this run where more of it would cost more time than it saves.

    None where training takes a fixed number of steps, or the samples are not to be refined.
    """
    by_time = config.training.max_steps is None and config.training.stop_early
    if not (by_time and refines(config, model)):
        return None
    generator = torch.Generator(problem.device).manual_seed(config.seed)
    return PayOff(
        wanted_effective_samples(config),
        lambda n: draw_log_weights(model, problem.target, n, generator),
        seconds_left(config, problem, watch),
        _replica_exchange_rate(config, problem, watch),
    )


def _replica_exchange_rate(config: SampleConfig, problem: Problem, watch: Stopwatch) -> float:
    """Independent samples a second that the run's replica exchange would go on to make.

    Zero where it may not be the answer. The first sample of each ladder is its start and does not count:
    ladders that stay where they started make nothing.
    """
    if config.answer == "model" or config.free_energy_error is not None or "dynamics" not in watch.seconds:
        return 0.0
    frames = problem.frames
    made = replica_exchange_samples(problem) - frames.config.ladders
    return made / watch.seconds["dynamics"] if made > 0 else 0.0


def seconds_left(config: SampleConfig, problem: Problem, watch: Stopwatch) -> float:
    """What the budget leaves, now, for all that comes before the verdict and the files."""
    budget = whole_budget(config, problem.target.n_atoms)
    return budget - watch.elapsed - min(WRITING_SECONDS, MOST_RESERVE * budget)


def reserve(config: SampleConfig, model: Model) -> Reserve | None:
    """What training leaves for refinement where the model is poor at its half-time."""
    if not refines(config, model):
        return None
    n_atoms = model.coordinates.n_atoms
    needed = PROPOSALS * config.n_samples * n_atoms / ATOMS_PER_SECOND
    seconds = min(needed, MOST_RESERVE * whole_budget(config, n_atoms))
    return Reserve(seconds, HALF_TIME_SHARE * wanted_share(config))


def refined(
    ensemble: Ensemble,
    config: SampleConfig,
    problem: Problem,
    model: Model,
    generator: torch.Generator,
    watch: Stopwatch,
) -> tuple[Ensemble, RefinementSummary | None]:
    """``ensemble`` of the model's samples, or better ones where they are poor and time is left.

    The second says what refinement did, None where there was none.
    """
    share = ensemble.effective_sample_size_fraction
    wanted = wanted_effective_samples(config)
    enough = share >= wanted_share(config) and ensemble.effective_sample_size >= wanted
    if math.isnan(share) or enough or not refines(config, model):
        return ensemble, None
    seconds = seconds_left(config, problem, watch)
    if seconds < max(LEAST_SECONDS, 2.0 * watch.seconds["sampling"]):
        return ensemble, None
    assert isinstance(model, FlowModel)

    def relay(done: float) -> None:
        watch.report(StageProgress("refinement", done))

    with watch.stage("refinement", f"{100 * share:.1f} % of the samples are effective"):
        found = refine(
            model,
            problem.target,
            config.n_samples,
            generator,
            wanted_share(config),
            seconds,
            relay,
            least_effective=wanted,
        )
    better = Ensemble.from_weighted(
        ensemble.molecule,
        found.positions,
        found.reduced_energies,
        found.log_weights,
        ensemble.temperature,
        found.statistics,
    )
    info = found.info
    return better, RefinementSummary(
        evaluations=info.evaluations,
        proposals=info.proposals,
        stages=info.stages,
        acceptance=info.acceptance,
        share_before=share,
        share_after=info.share_after,
        seconds=info.seconds,
    )
