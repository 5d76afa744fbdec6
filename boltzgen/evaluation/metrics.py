"""How far samples are from reference frames, each figure beside what two halves of the reference give.

A distance between two finite sets of samples of one distribution is not zero. The null value is the distance
between the earlier and the later half of the reference frames; no figure below it tells the sets apart.
(Halves are smaller than the whole, so the null is on the safe side.)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import stats

from boltzgen.conformers import TorsionStates, conformer_label, conformer_states
from boltzgen.errors import InputError
from boltzgen.molecules.molecule import Molecule
from boltzgen.molecules.torsions import conformer_torsions, torsion_values
from boltzgen.sampling.importance import Estimate

LEAST_FRAMES = 200
MARGINAL_BINS = 36
RAMACHANDRAN_BINS = 100


@dataclass(frozen=True)
class Distance:
    """A distance to the reference and its null value, in the same units."""

    value: float
    null: float


@dataclass(frozen=True)
class Coverage:
    """Which conformers of the reference the samples hold.

    ``mass_reached``: share of the reference's weight in conformers reached. ``missed``: states and reference
    population of the others, most populated first.
    """

    n_conformers: int
    n_reached: int
    mass_reached: float
    missed: tuple[tuple[str, float], ...]


def torsion_total_variation(
    values: Float[np.ndarray, " samples"],
    weights: Float[np.ndarray, " samples"],
    reference: Float[np.ndarray, " frames"],
    period: float = 2 * math.pi,
) -> Distance:
    """Total variation ½ Σ |p − q| between histograms of one torsion (radians, 36 bins)."""
    edges = np.linspace(-period / 2, period / 2, MARGINAL_BINS + 1)

    def distance(x: np.ndarray, w: np.ndarray, y: np.ndarray) -> float:
        p, q = np.histogram(x, edges, weights=w)[0], np.histogram(y, edges)[0]
        return _total_variation(p, q)

    return _with_null(distance, values, weights, reference)


def torsion_distances(
    molecule: Molecule,
    positions: Float[np.ndarray, "samples atoms 3"],
    weights: Float[np.ndarray, " samples"],
    reference: Float[np.ndarray, "frames atoms 3"],
) -> dict[str, Distance]:
    """Total variation of every torsion that tells conformers apart, by its name."""
    torsions = conformer_torsions(molecule)
    ours, theirs = torsion_values(positions, torsions), torsion_values(reference, torsions)
    return {
        torsion.name: torsion_total_variation(ours[:, i], weights, theirs[:, i], torsion.period)
        for i, torsion in enumerate(torsions)
    }


def ramachandran_total_variation(
    values: Float[np.ndarray, "samples 2"],
    weights: Float[np.ndarray, " samples"],
    reference: Float[np.ndarray, "frames 2"],
) -> Distance:
    """Total variation between (φ, ψ) histograms of 100 × 100 bins, as published figures have it."""
    edges = np.linspace(-math.pi, math.pi, RAMACHANDRAN_BINS + 1)

    def distance(x: np.ndarray, w: np.ndarray, y: np.ndarray) -> float:
        p = np.histogram2d(x[:, 0], x[:, 1], (edges, edges), weights=w)[0]
        return _total_variation(p, np.histogram2d(y[:, 0], y[:, 1], (edges, edges))[0])

    return _with_null(distance, values, weights, reference)


def energy_wasserstein(
    energies: Float[np.ndarray, " samples"],
    weights: Float[np.ndarray, " samples"],
    reference: Float[np.ndarray, " frames"],
) -> Distance:
    """W₁ between the distributions of energy, in the energies' units; samples without weight do not count."""

    def distance(x: np.ndarray, w: np.ndarray, y: np.ndarray) -> float:
        return float(stats.wasserstein_distance(x[w > 0], y, u_weights=w[w > 0]))

    return _with_null(distance, energies, weights, reference)


def cross_entropy(log_prob: Float[np.ndarray, " frames"], n_independent: float) -> Estimate:
    """−E_p[log q] from log q of reference frames that are worth ``n_independent`` independent ones."""
    _require_frames(log_prob)
    return Estimate(-float(np.mean(log_prob)), float(np.std(log_prob, ddof=1) / math.sqrt(n_independent)))


def mode_coverage(
    states: tuple[TorsionStates, ...],
    positions: Float[np.ndarray, "samples atoms 3"],
    weights: Float[np.ndarray, " samples"],
    reference: Float[np.ndarray, "frames atoms 3"],
    least_population: float = 0.01,
    least_share: float = 0.1,
) -> Coverage:
    """Which conformers of at least ``least_population`` in the reference frames the weighted samples hold.

    A conformer is reached if the samples give it ``least_share`` of its reference population or more. Walkers
    started in every seed conformer serve as reference where there is none: they show what there is, though
    not how much of it.
    """
    _require_frames(reference)
    theirs, counts = np.unique(conformer_states(states, reference), axis=0, return_counts=True)
    population = counts / len(reference)
    ours = conformer_states(states, positions)
    weights = weights / weights.sum()
    main = [c for c in np.argsort(-population) if population[c] >= least_population]
    held = {int(c): float(weights[(ours == theirs[c]).all(axis=1)].sum()) for c in main}
    missed = [c for c in main if held[int(c)] < least_share * population[c]]
    return Coverage(
        n_conformers=len(main),
        n_reached=len(main) - len(missed),
        mass_reached=float(1 - population[missed].sum() / population[main].sum()) if main else math.nan,
        missed=tuple((conformer_label(states, theirs[c]), float(population[c])) for c in missed),
    )


def _with_null(
    distance: Callable[[np.ndarray, np.ndarray, np.ndarray], float],
    values: np.ndarray,
    weights: np.ndarray,
    reference: np.ndarray,
) -> Distance:
    _require_frames(values)
    _require_frames(reference)
    half = len(reference) // 2
    early, late = reference[:half], reference[half:]
    return Distance(distance(values, weights, reference), distance(early, np.ones(half), late))


def _require_frames(values: np.ndarray) -> None:
    if len(values) < LEAST_FRAMES:
        raise InputError(f"{len(values)} frames are too few to compare; give at least {LEAST_FRAMES}.")


def _total_variation(p: np.ndarray, q: np.ndarray) -> float:
    return 0.5 * float(np.abs(p / p.sum() - q / q.sum()).sum())
