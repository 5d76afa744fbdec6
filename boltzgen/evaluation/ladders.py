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

from boltzgen.molecules.molecule import Molecule
from boltzgen.molecules.torsions import conformer_torsions, torsion_values
from boltzgen.sampling.tempering import LadderEstimate, ladder_estimate

LEAST_SPREAD = 0.05  # radians or so: a torsion that hardly moves has no slow states


@dataclass(frozen=True)
class LadderQuality:
    """The least effective sample size of all observables and whose it is; the largest |drift| and whose.

    Of k observables of a converged run the largest |drift| is about √(2 ln k): 2.5 for twenty.
    """

    effective_sample_size: float
    slowest: str
    drift: float
    most_drifting: str


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
        estimates[slowest].effective_sample_size, slowest, estimates[drifting].drift, drifting
    )
