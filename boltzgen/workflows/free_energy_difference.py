"""The free energy of one state minus that of another, by all ways there are between the two."""

from __future__ import annotations

import math

import numpy as np
import torch

from boltzgen.errors import NotConvergedError
from boltzgen.records.free_energy import FreeEnergyDifference
from boltzgen.thermodynamics import quiet
from boltzgen.thermodynamics.blocks import Bootstrapped, bootstrapped, drawn_blocks
from boltzgen.thermodynamics.estimators import IMPORTANCE, LADDERS, SAMPLES
from boltzgen.thermodynamics.multistate import multistate
from boltzgen.thermodynamics.overlap import bennett_overlap
from boltzgen.units import KJ_PER_KCAL
from boltzgen.workflows.state_data import StateData
from boltzgen.workflows.state_free_energy import (
    StateResult,
    disagreement_records,
    estimate_records,
    state_curve,
)
from boltzgen.workflows.trained_state import TrainedState

MODELS, MODELS_IMPORTANCE = "two models", "two models, importance weights"
BETWEEN = "Bennett between the ensembles"
MBAR = "MBAR over models and ensembles"
LADDER = "MBAR over temperatures"
MOST_EACH = 2000  # configurations of each ensemble for MBAR


def difference(
    first: StateResult, second: StateResult, log_sigma: tuple[float, float] | None = None
) -> FreeEnergyDifference:
    """``second`` minus ``first``; reported is the way with the least error.

    ``log_sigma``: ln of the symmetry numbers where the two are isomers; otherwise they are one molecule.
    """
    shift = 0.0
    if log_sigma is not None:
        shift = second.kT * log_sigma[1] - first.kT * log_sigma[0]
    found = {
        MODELS: minus(second.free_energy(), first.free_energy(), shift),
        MODELS_IMPORTANCE: minus(second.free_energy(IMPORTANCE), first.free_energy(IMPORTANCE), shift),
    }
    overlap = math.nan
    if log_sigma is None and not (first.data.state.is_costly or second.data.state.is_costly):
        cross, overlap = _across(first, second)
        found |= cross
    best = min((name for name in found if name != MODELS_IMPORTANCE), key=lambda name: found[name].stderr)
    energy = minus(second.energy, first.energy)
    common = min(len(found[best].replicates), len(energy.replicates))
    heat = energy.replicates[:common] - found[best].replicates[:common]
    value, stderr = found[best].value, found[best].stderr
    return FreeEnergyDifference(
        first=first.record.name,
        second=second.record.name,
        estimator=best,
        free_energy_kJ_mol=value,
        free_energy_stderr_kJ_mol=stderr,
        free_energy_kcal_mol=value / KJ_PER_KCAL,
        free_energy_stderr_kcal_mol=stderr / KJ_PER_KCAL,
        estimates=estimate_records(found, 1.0),
        disagreements=disagreement_records(found, 1.0),
        overlap=overlap,
        energy_kJ_mol=energy.value,
        energy_stderr_kJ_mol=energy.stderr,
        temperature_entropy_kJ_mol=energy.value - value,
        temperature_entropy_stderr_kJ_mol=float(np.std(heat, ddof=1)),
    )


def minus(second: Bootstrapped, first: Bootstrapped, shift: float = 0.0) -> Bootstrapped:
    """``second`` − ``first`` + ``shift``, of data that are independent of each other."""
    n = min(len(first.replicates), len(second.replicates))
    return Bootstrapped(
        second.value - first.value + shift,
        math.hypot(first.stderr, second.stderr),
        second.bias - first.bias,
        second.replicates[:n] - first.replicates[:n] + shift,
    )


def same_energy(first: TrainedState, second: TrainedState) -> bool:
    """Whether the two states differ in temperature alone."""
    return (first.system.forcefield, first.system.solvent) == (
        second.system.forcefield,
        second.system.solvent,
    )


def _across(first: StateResult, second: StateResult) -> tuple[dict[str, Bootstrapped], float]:
    """Estimates that evaluate each ensemble's configurations in the other state, and their overlap."""
    found: dict[str, Bootstrapped] = {}
    overlap = 0.0
    one, other = first.data, second.data
    if one.frames is not None and other.frames is not None:
        forward = _energies_of_frames(other, one) - one.frames.reduced_energies
        backward = _energies_of_frames(one, other) - other.frames.reduced_energies
        draws = [
            drawn_blocks(len(work), (result.seed, LADDERS))
            for work, result in ((forward, first), (backward, second))
        ]
        try:
            direct = bootstrapped(quiet.bar, (forward, backward), list(zip(*draws, strict=True)))
            found[BETWEEN] = _in_kJ(direct, first, second)
            overlap = bennett_overlap(forward.ravel(), backward.ravel(), direct.value)
            found[MBAR] = _by_mbar(first, second)
        except NotConvergedError:
            pass  # the two models remain, and the overlap says why
    if one.frames is not None and same_energy(one.state, other.state):
        curve = state_curve(one, [other.state.target.temperature], first.seed)
        relative = Bootstrapped(
            float(curve.value("relative")[0]),
            float(curve.stderr("relative")[0]),
            math.nan,
            curve.relative[1:, 0],
        )
        found[LADDER] = _in_kJ(relative, first, second)
    return found, overlap


def _in_kJ(relative: Bootstrapped, first: StateResult, second: StateResult) -> Bootstrapped:
    """F₂ − F₁ = (kT₂ − kT₁) f₁ + kT₂ (f₂ − f₁) from ``relative`` = f₂ − f₁ and the first state's own f₁."""
    anchor, change = first.found[first.best], second.kT - first.kT
    n = min(len(anchor.replicates), len(relative.replicates))
    replicates = change * anchor.replicates[:n] + second.kT * relative.replicates[:n]
    factor = relative.stderr / float(np.std(relative.replicates, ddof=1))
    return Bootstrapped(
        change * anchor.value + second.kT * relative.value,
        float(np.std(replicates, ddof=1)) * factor,
        math.nan,
        replicates,
    )


def _energies_of_frames(target: StateData, source: StateData) -> np.ndarray:
    """Reduced energies in the state of ``target`` of the frames of ``source`` [ladders, each]."""
    assert source.frames is not None
    x = source.frames.positions
    return target.state.reduced_energy(x.flatten(0, 1)).view(x.shape[:2]).numpy()


def _by_mbar(first: StateResult, second: StateResult) -> Bootstrapped:
    """MBAR over the frames of both states and the samples of both models, which are normalised states."""
    sets, seeds = [], []
    for result in (first, second):
        frames = result.data.frames
        assert frames is not None
        every = math.ceil(frames.log_prob.size / MOST_EACH)
        sets.append(_in_every_state(frames.positions[:, ::every], first, second))
        seeds.append((result.seed, LADDERS))
    for result in (first, second):
        batches = len(result.data.weighted.samples)
        x = result.data.samples.positions
        each = len(x) // batches
        x = x[: batches * each].unflatten(0, (batches, each))[:, : max(MOST_EACH // batches, 1)]
        sets.append(_in_every_state(x, first, second))
        seeds.append((result.seed, SAMPLES))
    solved = multistate(sets, seeds)
    replicates = np.vstack([solved.f, solved.replicates])
    absolute = replicates[:, 0] - replicates[:, 2]  # f of the first state from its own model
    values = (second.kT - first.kT) * absolute + second.kT * (replicates[:, 1] - replicates[:, 0])
    factor = float(solved.stderr[1] / np.std(solved.replicates[:, 1], ddof=1))
    return Bootstrapped(float(values[0]), float(np.std(values[1:], ddof=1)) * factor, math.nan, values[1:])


def _in_every_state(x: torch.Tensor, first: StateResult, second: StateResult) -> np.ndarray:
    """Reduced energies [4, blocks, each] of x in both states and both models."""
    flat = x.flatten(0, 1)
    states = [result.data.state for result in (first, second)]
    rows = [state.reduced_energy(flat) for state in states] + [-state.log_prob(flat) for state in states]
    return torch.stack(rows).view(4, *x.shape[:2]).numpy()
