"""How good replica-exchange frames are: judged by the slowest thing in them, which is rarely the energy.

Energies forget within a picosecond what torsions keep for nanoseconds, so that a sample size taken from the
energy flatters every population. Energy and the cosine and sine of each torsion are looked at, and the worst
counts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from boltzgen.conformers import conformer_states, find_states
from boltzgen.molecules.molecule import Molecule
from boltzgen.molecules.torsions import conformer_torsions, torsion_values
from boltzgen.sampling.tempering import LadderEstimate, ladder_estimate

LEAST_SPREAD = 0.05  # radians or so: a torsion that hardly moves has no slow states
INDEPENDENT = 4.0  # samples of each ladder, by the slowest observable
LEAST_INDEPENDENT = 400.0  # samples of all of them: four in a conformer of one per cent
MOST_UNSEEN = 0.005  # share of the population
MAX_DRIFT = 4.0  # of the worst of some tens of observables
MAX_R_HAT = 1.1  # Gelman and Rubin's own line


@dataclass(frozen=True)
class LadderQuality:
    """The least effective sample size of all observables and whose it is; the largest |drift| and whose.

    Of k observables of a converged run the largest |drift| is about √(2 ln k): 2.5 for twenty. r_hat: the
    largest of ``gelman_rubin``.
    """

    effective_sample_size: float
    slowest: str
    drift: float
    most_drifting: str
    r_hat: float


def ladder_quality(
    molecule: Molecule,
    positions: Float[np.ndarray, "frames ladders atoms 3"],
    energies: Float[np.ndarray, "frames ladders"],
) -> LadderQuality:
    """Of frames (nm) of independent ladders in the order of time, with their energies in any units."""
    n_frames, n_ladders = energies.shape
    torsions = conformer_torsions(molecule)
    values = torsion_values(positions.reshape(n_frames * n_ladders, *positions.shape[2:]), torsions)
    observables = {"energy": np.asarray(energies, dtype=np.float64)}
    for column, torsion in enumerate(torsions):
        turns = values[:, column].reshape(n_frames, n_ladders) * (2 * math.pi / torsion.period)
        observables[f"cos {torsion.name}"], observables[f"sin {torsion.name}"] = np.cos(turns), np.sin(turns)
    estimates: dict[str, LadderEstimate] = {
        name: ladder_estimate(torch.from_numpy(series))
        for name, series in observables.items()
        if name == "energy" or series.std() > LEAST_SPREAD
    }
    slowest = min(estimates, key=lambda name: estimates[name].effective_sample_size)
    drifting = max(estimates, key=lambda name: abs(estimates[name].drift))
    return LadderQuality(
        estimates[slowest].effective_sample_size,
        slowest,
        estimates[drifting].drift,
        drifting,
        max(gelman_rubin(observables[name]) for name in estimates),
    )


def gelman_rubin(values: Float[np.ndarray, "frames ladders"]) -> float:
    """R̂ of one observable: √(variance of all / mean variance within a ladder), from 1 upwards.

    Gelman and Rubin, Statist. Sci. 7, 457 (1992). It is large where ladders stay in different places.
    """
    n_frames = len(values)
    within = float(values.var(axis=0, ddof=1).mean())
    between = float(values.mean(axis=0).var(ddof=1))
    if within == 0.0:
        return 1.0 if between == 0.0 else math.inf
    return math.sqrt((n_frames - 1) / n_frames + between / within)


def enough_for_conformers(
    molecule: Molecule,
    positions: Float[np.ndarray, "frames ladders atoms 3"],
    energies: Float[np.ndarray, "frames ladders"],
) -> bool:
    """Whether frames (nm) of independent ladders show which conformers there are, and about how populated.

    Every ladder has passed several times through its slowest motion, so that none remembers where it
    started; the halves of the run agree; and next to nothing is in conformers that the other ladders would
    not have shown.
    """
    n_ladders = positions.shape[1]
    if len(positions) < 2 or n_ladders < 2:
        return False
    quality = ladder_quality(molecule, positions, energies)
    return (
        quality.effective_sample_size >= max(INDEPENDENT * n_ladders, LEAST_INDEPENDENT)
        and abs(quality.drift) <= MAX_DRIFT
        and unseen_share(molecule, positions) <= MOST_UNSEEN
    )


def unseen_share(molecule: Molecule, positions: Float[np.ndarray, "frames ladders atoms 3"]) -> float:
    """Share of the population in conformers that all ladders but one do not show, on average over that one.

    It estimates from above what the ladders together have not seen (Good, Biometrika 40, 237 (1953), with
    ladders, which are independent, in place of single draws).
    """
    n_frames, n_ladders = positions.shape[:2]
    x = positions.reshape(n_frames * n_ladders, *positions.shape[2:])
    states = conformer_states(find_states(molecule, x, np.ones(len(x))), x)
    _, conformer = np.unique(states, axis=0, return_inverse=True)
    conformer = conformer.reshape(n_frames, n_ladders)
    visited = np.zeros((conformer.max() + 1, n_ladders), dtype=bool)
    visited[conformer, np.arange(n_ladders)] = True
    return float((visited.sum(1) == 1)[conformer].mean())
