"""The best answer at hand: where a model fails, the run's own replica exchange, alone or with its samples.

Samples of the model and frames of replica exchange are two views of one distribution. Where the model's are
not to be trusted, replica exchange goes on in the time that is left. If it is sound by criteria of its own,
its frames are the answer: together with the model's samples, which give ln Z, where the two overlap, else
alone, equally weighted and without ln Z.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from boltzgen.ensemble import Ensemble
from boltzgen.errors import NotConvergedError
from boltzgen.evaluation.convergence import MIN_EFFECTIVE_SAMPLES, Verdict
from boltzgen.evaluation.ladders import MAX_DRIFT, MAX_R_HAT, ladder_quality, unseen_share
from boltzgen.models.model import GenerativeModel, Model
from boltzgen.problem import Problem
from boltzgen.progress import StageProgress, Stopwatch
from boltzgen.records.run import AnswerSource, ReplicaExchangeSummary
from boltzgen.sampling.frames import thermal_frames
from boltzgen.sampling.importance import (
    Estimate,
    WeightStatistics,
    clipped_effective_sample_size,
    effective_sample_size,
    log_importance_weights,
    pareto_k,
)
from boltzgen.sampling.tempering import temperature_ladder
from boltzgen.sampling.thinning import thin
from boltzgen.sampling.turns import BondTurns
from boltzgen.thermodynamics.combined import Combined, combined
from boltzgen.training.families import family
from boltzgen.workflows.config import SampleConfig, wanted_effective_samples
from boltzgen.workflows.diagnostics import whole_ladders
from boltzgen.workflows.refinement import seconds_left

MOST_VALUES = 50_000_000  # coordinates of frames that are kept in memory
LEAST_SECONDS = 1.0  # that are worth going on for
MOST_UNSEEN = 0.01  # of the population, as in the verdict on a model
LEAST_OVERLAP = 0.01  # of model and target, for an answer from both
LARGEST_ERROR = 0.2  # kT, of ln Z of an answer from both
LABELLED = 4096  # frames at once

MODEL_FAILED = "the model did not converge ({}): {}"
ALONE = (
    "these are frames of the run's own replica exchange, equally weighted; there is no free energy, and the"
    " time step raises the mean energy by some tenths of kT"
)
TOGETHER = "these are its samples together with frames of the run's own replica exchange"


@dataclass(frozen=True)
class Answer:
    """What a run gives, whose samples these are, whether to trust them, and how good replica exchange is."""

    ensemble: Ensemble
    source: AnswerSource
    verdict: Verdict
    replica_exchange: ReplicaExchangeSummary | None = None


@dataclass(frozen=True)
class _Ladders:
    """Frames (nm) of independent ladders in the order of time, their reduced energies, how good they are."""

    positions: Float[Tensor, "frames ladders atoms 3"]
    energies: Float[Tensor, "frames ladders"]
    quality: ReplicaExchangeSummary

    @property
    def sound(self) -> bool:
        """Whether ladders and halves agree, there are enough independent frames, and none is missing much."""
        return (
            self.quality.effective_sample_size >= MIN_EFFECTIVE_SAMPLES
            and self.quality.r_hat <= MAX_R_HAT
            and abs(self.quality.largest_drift) <= MAX_DRIFT
            and self.quality.unseen_share <= MOST_UNSEEN
        )

    def every(self, step: int) -> _Ladders:
        """Every ``step``-th frame of each ladder, the last one included."""
        return replace(
            self,
            positions=self.positions.flip(0)[::step].flip(0),
            energies=self.energies.flip(0)[::step].flip(0),
        )


def best_answer(
    config: SampleConfig,
    problem: Problem,
    model: Model,
    drawn: Ensemble,
    ensemble: Ensemble,
    verdict: Verdict,
    generator: torch.Generator,
    watch: Stopwatch,
) -> Answer:
    """The answer of a run: ``ensemble`` where it converged, or else what replica exchange makes better.

    Parameters
    ----------
    drawn
        Samples of ``model`` as it made them.
    ensemble, verdict
        These or what refinement made of them, and whether that converged.
    watch
        Tells how much time is left for replica exchange to go on. It does not in a run of fixed steps.
    """
    by_time = config.training.max_steps is None
    seconds = seconds_left(config, problem, watch) if by_time else 0.0
    own = Answer(ensemble, "model", verdict)
    if verdict.converged or config.answer == "model" or family(config.model).trained_on != "energy":
        return own
    with watch.stage("diagnostics"):
        ladders = _ladders_so_far(problem)
    if ladders is not None and seconds >= LEAST_SECONDS:
        with watch.stage("replica exchange", "the model did not converge"):
            ladders = _continued(ladders, config, problem, generator, watch, seconds)
    if ladders is None or not ladders.sound:
        return own if ladders is None else replace(own, replica_exchange=ladders.quality)
    with watch.stage("diagnostics"):
        found = _together(config, problem, model, drawn, ladders, generator)
        source: AnswerSource = "replica exchange" if found is None else "combined"
        if found is None:
            found = _alone(config, problem, ladders, generator)
    told = TOGETHER if source == "combined" else ALONE
    warning = MODEL_FAILED.format("; ".join(verdict.warnings), told)
    converged = source == "combined" or config.free_energy_error is None
    return Answer(found, source, Verdict(converged, [warning], verdict.missed_share), ladders.quality)


def _ladders_so_far(problem: Problem) -> _Ladders | None:
    """The replica exchange that the run began with; None where too few ladders keep the stereo."""
    x = whole_ladders(problem.frames.thermal)
    if x is None:
        return None
    return _judged(problem, x, problem.target.reduced_energy(x.flatten(0, 1)).view(x.shape[:2]))


def _judged(problem: Problem, x: Tensor, u: Tensor) -> _Ladders:
    positions = x.cpu().numpy()
    quality = ladder_quality(problem.molecule, positions, u.cpu().numpy())
    summary = ReplicaExchangeSummary(
        n_ladders=x.shape[1],
        frames_a_ladder=len(x),
        effective_sample_size=quality.effective_sample_size,
        slowest_observable=quality.slowest,
        r_hat=quality.r_hat,
        largest_drift=quality.drift,
        unseen_share=unseen_share(problem.molecule, positions),
    )
    return _Ladders(x, u, summary)


def _continued(
    ladders: _Ladders,
    config: SampleConfig,
    problem: Problem,
    generator: torch.Generator,
    watch: Stopwatch,
    seconds: float,
) -> _Ladders:
    """``ladders`` with what each of them makes in ``seconds``, or until there are as many as are wanted.

    Every ladder goes on from its own last frames, on all rungs, so that ladders stay independent.
    """
    n_ladders = ladders.quality.n_ladders
    size = problem.frames.config.model_copy(update={"ladders": n_ladders})
    rounds = MOST_VALUES // (3 * problem.target.n_atoms * n_ladders)
    size = size.model_copy(update={"picoseconds": rounds * size.steps_per_frame * size.time_step})
    wanted = wanted_effective_samples(config)
    if ladders.sound and ladders.quality.effective_sample_size >= wanted:
        return ladders
    spent = watch.allowance(seconds)

    def joined(x: Tensor, energies: Tensor) -> _Ladders:
        x = problem.coordinates.canonicalise(x.flatten(0, 1)).view_as(x)
        u = energies.to(ladders.energies) / problem.target.kT
        return _judged(problem, torch.cat([ladders.positions, x]), torch.cat([ladders.energies, u]))

    def enough(x: Tensor, energies: Tensor) -> bool:
        watch.report(StageProgress("replica exchange", min(spent(), 1.0)))
        found = joined(x, energies)
        return found.sound and found.quality.effective_sample_size >= wanted

    temperature, n_atoms = problem.target.temperature, problem.target.n_atoms
    n_rungs = len(temperature_ladder(temperature, size.hot_factor * temperature, n_atoms))
    back = torch.arange(n_rungs, device=ladders.positions.device) % len(ladders.positions)
    starts = ladders.positions.flip(0)[back].transpose(0, 1).flatten(0, 1)  # ladder by ladder
    turns = BondTurns.of(problem.molecule, starts.device)
    more = thermal_frames(problem.target, problem.masses, starts, size, generator, turns, spent, enough)
    x = whole_ladders(more.where(problem.molecule.keeps_stereo))
    if x is None or x.shape[1] != n_ladders:
        return ladders
    return joined(x, problem.target.reduced_energy(x.flatten(0, 1)).view(x.shape[:2]) * problem.target.kT)


def _alone(config: SampleConfig, problem: Problem, ladders: _Ladders, generator: torch.Generator) -> Ensemble:
    """At most as many frames as samples are wanted, equally weighted."""
    kept = ladders.every(math.ceil(ladders.energies.numel() / config.n_samples))
    return Ensemble.from_frames(
        problem.molecule,
        _labelled(problem, kept.positions.flatten(0, 1), generator),
        kept.energies.flatten(),
        problem.target.temperature,
        min(ladders.quality.effective_sample_size, float(kept.energies.numel())),
    )


@torch.no_grad()
def _together(
    config: SampleConfig,
    problem: Problem,
    model: Model,
    drawn: Ensemble,
    ladders: _Ladders,
    generator: torch.Generator,
) -> Ensemble | None:
    """Samples of ``model`` and nearly independent frames together; None where they hardly overlap."""
    if not isinstance(model, GenerativeModel) or drawn.log_prob is None:
        return None
    apart = math.ceil(ladders.energies.numel() / ladders.quality.effective_sample_size)
    kept = ladders.every(apart)
    x, u = kept.positions.flatten(0, 1), kept.energies.flatten()
    log_q = torch.cat([model.log_prob(part) for part in x.split(LABELLED)])
    frames = torch.where(torch.isfinite(log_q), -u.double() - log_q.double(), torch.inf)
    samples = log_importance_weights(
        torch.from_numpy(drawn.reduced_energies), torch.from_numpy(drawn.log_prob)
    ).numpy()
    try:
        found = combined(samples, frames.view_as(kept.energies).T.cpu().numpy(), config.seed)
    except NotConvergedError:
        return None
    if found.overlap < LEAST_OVERLAP or not found.f.stderr <= LARGEST_ERROR:
        return None
    return _thinned(config, problem, drawn, found, x, u, generator)


def _thinned(
    config: SampleConfig,
    problem: Problem,
    drawn: Ensemble,
    found: Combined,
    x: Tensor,
    u: Tensor,
    generator: torch.Generator,
) -> Ensemble:
    """As many of all as samples are wanted, without bias."""
    log_weights = torch.from_numpy(np.concatenate([found.samples, found.frames.T.ravel()]))
    rows, kept = thin(log_weights, config.n_samples, generator)
    size = effective_sample_size(kept)
    positions = torch.cat([torch.from_numpy(drawn.positions), _labelled(problem, x, generator).cpu()])
    energies = torch.cat([torch.from_numpy(drawn.reduced_energies), u.double().cpu()])
    return Ensemble.from_weighted(
        problem.molecule,
        positions[rows],
        energies[rows],
        kept,
        problem.target.temperature,
        WeightStatistics(
            len(rows),
            size,
            clipped_effective_sample_size(kept),
            pareto_k(log_weights),
            Estimate(-found.f.value, found.f.stderr),
        ),
    )


def _labelled(problem: Problem, x: Tensor, generator: torch.Generator) -> Tensor:
    """Frames x (nm) with the labels of equivalent rotors drawn at random, as samples have them."""
    return torch.cat([problem.coordinates.randomise_labels(part, generator) for part in x.split(LABELLED)])
