"""What a run says of itself: whether it converged, its main conformers, what its dynamics alone is worth."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from boltzgen.conformers import conformer_states, find_states, found_conformers, torsion_bins
from boltzgen.ensemble import Ensemble
from boltzgen.errors import NotConvergedError
from boltzgen.evaluation.convergence import (
    MAX_MISSED_SHARE,
    Verdict,
    judge,
    missed_share,
    reachable,
    unseen_share,
)
from boltzgen.evaluation.ladders import ladder_quality
from boltzgen.models.model import GenerativeModel, LatentVariableModel, Model
from boltzgen.molecules.stereo_check import PERCEPTION_SECONDS
from boltzgen.molecules.torsions import conformer_torsions, torsion_values
from boltzgen.problem import Problem
from boltzgen.records.run import ConformerSummary, TorsionCounts
from boltzgen.sampling.frames import ThermalFrames

MAIN_CONFORMERS = 10
MOST_DEVIATIONS = 20.0
JUDGED_FRAMES = 4096
MEAN_FRAMES = 256  # for the mean of their energy, to a tenth of its standard deviation
BOUND_SAMPLES = 16
NO_DENSITY = (
    "model '{}' has no density: its samples are as it makes them, not Boltzmann weighted, and there is no"
    " free energy"
)
NEVER_MADE = (
    "{:.0f} % of the population, by replica exchange, is in conformers that the model never made; give a"
    " larger --budget"
)


@dataclass(frozen=True)
class Diagnosis:
    """Whether to trust a run, its main conformers, and what its replica exchange alone is worth."""

    verdict: Verdict
    main_conformers: list[ConformerSummary]
    replica_exchange_samples: float
    n_stereo_perceived: int


def diagnose(
    ensemble: Ensemble,
    judged: Verdict,
    problem: Problem,
    perception_seconds: float = PERCEPTION_SECONDS,
) -> Diagnosis:
    """All that is said of ``ensemble``, the answer of a run, which was ``judged`` already.

    RDKit has ``perception_seconds`` for the stereo. Raises NotConvergedError where all energies are beyond
    what the temperature reaches, and EvaluationError where a sample shows other stereo than the molecule.
    """
    require_thermal_energy(ensemble, problem)
    return Diagnosis(
        judged,
        main_conformers(ensemble),
        replica_exchange_samples(problem),
        ensemble.require_stereo(perception_seconds),
    )


@torch.no_grad()
def require_thermal_energy(ensemble: Ensemble, problem: Problem) -> None:
    """Require a mean energy that the molecule can have at its temperature.

    The energy of f harmonic degrees of freedom has a standard deviation of (f/2)^½ kT, and no molecule is
    ``MOST_DEVIATIONS`` of them above its mean. Where all samples are, as of a model that has learnt nothing,
    one of them has all of the weight, for being less torn than the others. Raises NotConvergedError.
    """
    if not ensemble.has_free_energy:
        return
    frames = problem.frames.thermal.positions
    u = problem.target.reduced_energy(frames[:: max(1, len(frames) // MEAN_FRAMES)]).double()
    degrees_of_freedom = problem.coordinates.n_torsions + problem.coordinates.n_stiff
    spread = max(float(u.std(correction=0)), math.sqrt(degrees_of_freedom / 2.0))
    excess = ensemble.mean_energy.value / ensemble.kT - float(u.mean())
    if excess > MOST_DEVIATIONS * spread:
        raise NotConvergedError(
            f"The samples of '{problem.molecule.smiles}' are torn: their mean energy is {excess:.0f} kT above"
            " that of the molecule's dynamics, so that none is a conformer; give a larger --budget."
        )


@torch.no_grad()
def verdict(ensemble: Ensemble, problem: Problem, model: Model, model_name: str) -> Verdict:
    """Whether to trust ``ensemble`` of ``model``; an ensemble without weights is never converged."""
    if ensemble.has_free_energy:
        missed = _missed_share(ensemble, problem, model)
        return judge(ensemble.effective_sample_size, ensemble.pareto_k, missed)
    frames = problem.frames.thermal.positions
    frames = frames[:: max(1, len(frames) // JUDGED_FRAMES)]
    missed = never_made_share(ensemble, frames.cpu().numpy())
    warnings = [NO_DENSITY.format(model_name)]
    warnings += [NEVER_MADE.format(100 * missed)] if missed > MAX_MISSED_SHARE else []
    return Verdict(False, warnings, missed)


def replica_exchange_samples(problem: Problem) -> float:
    """Independent samples that the run's own replica exchange is worth, by its slowest torsion.

    Of the ladders whose frames all keep the molecule's stereo; nan where fewer than two do.
    """
    x = whole_ladders(problem.frames.thermal)
    if x is None:
        return math.nan
    u = problem.target.reduced_energy(x.flatten(0, 1)).view(x.shape[:2])
    quality = ladder_quality(problem.molecule, x.cpu().numpy(), u.cpu().numpy())
    return quality.effective_sample_size


def whole_ladders(frames: ThermalFrames) -> Float[Tensor, "frames ladders atoms 3"] | None:
    """Frames (nm) of the ladders that have all of theirs left; None where two of each are not left."""
    whole = torch.bincount(frames.ladder) == frames.frames_a_ladder
    if int(whole.sum()) < 2 or frames.frames_a_ladder < 2:
        return None
    return frames.positions[whole[frames.ladder]].unflatten(0, (-1, int(whole.sum())))


def never_made_share(ensemble: Ensemble, frames: Float[np.ndarray, "frames atoms 3"]) -> float:
    """Share of ``frames`` (nm) in conformers that no sample of ``ensemble`` is in."""
    states = find_states(ensemble.molecule, frames, np.ones(len(frames)))
    made = {tuple(row) for row in conformer_states(states, ensemble.positions)}
    return float(np.mean([tuple(row) not in made for row in conformer_states(states, frames)]))


def _missed_share(ensemble: Ensemble, problem: Problem, model: Model) -> float:
    """Share of thermal frames in conformers, or in parts of them, that the model has dropped."""
    thermal = problem.frames.thermal
    step = max(1, len(thermal.positions) // JUDGED_FRAMES)
    frames, ladder = thermal.positions[::step], thermal.ladder[::step].cpu()
    u = problem.target.reduced_energy(frames)
    log_weights = (-u.double() - _log_prob(model, frames).double()).cpu()
    table = found_conformers(ensemble.molecule, frames.cpu().numpy(), u.cpu().numpy())
    conformer = torch.from_numpy(table.assignment)
    log_z, mean = ensemble.log_z.value, ensemble.mean_energy.value / ensemble.kT
    missed = missed_share(log_weights, u.cpu(), conformer, log_z, mean)
    counted = reachable(u.cpu(), conformer, mean)
    if not bool(counted.any()):
        return missed
    drawn = ensemble.resample(min(len(ensemble), JUDGED_FRAMES))
    log_q = _log_prob(model, torch.from_numpy(drawn.positions).to(frames)).double().cpu()
    own = -torch.from_numpy(drawn.reduced_energies).double() - log_q
    n_effective = min(ensemble.effective_sample_size, float(len(drawn)))
    unseen = unseen_share(log_weights[counted], ladder[counted], own, n_effective, log_z)
    return max(missed, unseen * float(counted.double().mean()))


def _log_prob(model: Model, frames: Tensor) -> Tensor:
    if isinstance(model, GenerativeModel):
        return model.log_prob(frames)
    assert isinstance(model, LatentVariableModel)
    generator = torch.Generator(frames.device).manual_seed(0)
    return model.log_prob_bound(frames, BOUND_SAMPLES, generator)


def main_conformers(ensemble: Ensemble) -> list[ConformerSummary]:
    """The most populated torsion states: population with error, and the index of the best sample of each.

    Errors of frames of dynamics are larger than those of as many independent samples, as in ``mean``.
    """
    repeats = math.sqrt(ensemble.repeats)
    return [
        ConformerSummary(
            states=conformer.label,
            population=conformer.population.value,
            population_stderr=conformer.population.stderr * repeats,
            torsions_deg=[math.degrees(angle) for angle in conformer.torsions],
            representative_sample=conformer.representative,
        )
        for conformer in ensemble.conformers.conformers[:MAIN_CONFORMERS]
    ]


def torsion_counts(drawn: Ensemble, problem: Problem) -> list[TorsionCounts]:
    """How often each torsion has which value, as the model makes it and by the run's replica exchange."""
    torsions = conformer_torsions(problem.molecule)
    made = torsion_values(drawn.positions, torsions)
    exchanged = torsion_values(problem.frames.thermal.positions.cpu().numpy(), torsions)
    return [
        TorsionCounts(
            torsion=torsion.name,
            period_deg=math.degrees(torsion.period),
            generated=np.histogram(made[:, k], torsion_bins(torsion.period))[0].tolist(),
            replica_exchange=np.histogram(exchanged[:, k], torsion_bins(torsion.period))[0].tolist(),
        )
        for k, torsion in enumerate(torsions)
    ]
