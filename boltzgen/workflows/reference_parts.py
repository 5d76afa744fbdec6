"""A reference ensemble divided into frames to learn from and two halves to be judged by, all independent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int

from boltzgen.coordinates.internal import MolecularCoordinates
from boltzgen.ensemble import Ensemble
from boltzgen.errors import InputError
from boltzgen.evaluation.discrepancy import LEAST_FRAMES
from boltzgen.sampling.importance import systematic_resample

PARTS = 4  # two quarters to learn from, one for each half of the test
MOST_TEST_FRAMES = 5000  # in each half


@dataclass(frozen=True)
class ReferenceParts:
    """Rows of the reference's frames, weighted ones drawn by their weights. ``how``: in words."""

    training: Int[np.ndarray, " rows"]
    halves: tuple[Int[np.ndarray, " early"], Int[np.ndarray, " late"]]
    how: str


def reference_parts(ensemble: Ensemble, coordinates: MolecularCoordinates, seed: int) -> ReferenceParts:
    """Divided by ladder where the ensemble says how many there are, else in the order of its frames.

    Frames of another stereoisomer are left out. Raises InputError where a part has under 200 frames.
    """
    n = len(ensemble)
    n_ladders = ensemble.metadata.get("n_ladders")
    if n_ladders is not None and n_ladders >= PARTS and n % n_ladders == 0:
        part = np.arange(n) % n_ladders % PARTS
        how = f"by ladder: every fourth of {n_ladders}"
    else:
        part, how = np.arange(n) * PARTS // n, "in the order of the frames: quarters"
    inside = _in_domain(ensemble, coordinates)
    rows = [_drawn(ensemble, np.flatnonzero((part == index) & inside), seed) for index in range(PARTS)]
    least = min(len(some) for some in rows)
    if least < LEAST_FRAMES:
        raise InputError(
            f"not enough frames: a quarter of the reference holds {least}; give one of at least"
            f" {PARTS * LEAST_FRAMES} frames."
        )
    training = np.sort(np.concatenate(rows[:2]))
    early, late = (thinned(some, MOST_TEST_FRAMES, seed) for some in rows[2:])
    return ReferenceParts(training, (early, late), how)


def thinned(rows: Int[np.ndarray, " rows"], most: int, seed: int) -> Int[np.ndarray, " some"]:
    """At most ``most`` of ``rows`` at random, in their order: equal steps could meet one ladder only."""
    chosen = np.random.default_rng(seed).choice(len(rows), min(len(rows), most), replace=False)
    return rows[np.sort(chosen)]


def _in_domain(ensemble: Ensemble, coordinates: MolecularCoordinates) -> np.ndarray:
    x = torch.as_tensor(ensemble.positions).to(coordinates.whitening.mean)
    return coordinates.contains(coordinates.canonicalise(x)).cpu().numpy()


def _drawn(ensemble: Ensemble, rows: np.ndarray, seed: int) -> np.ndarray:
    log_weights = ensemble.log_weights[rows]
    if not len(rows) or np.ptp(log_weights) == 0:
        return rows
    generator = torch.Generator().manual_seed(seed)
    return rows[systematic_resample(torch.as_tensor(log_weights), len(rows), generator).numpy()]
