"""A distance between two sets of samples with its error and with what two sets of one distribution give.

No distance between finite sets of one distribution is zero, and it shrinks as the sets grow. Value and null
are therefore taken on blocks of one size: samples against either half of the reference, and half against
half. The halves are independent (different ladders of replica exchange), so that the null holds the noise of
the reference's own populations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from boltzgen.errors import InputError

N_BLOCKS = 4
LEAST_FRAMES = 200

DistanceFunction = Callable[[np.ndarray, np.ndarray], float]
Halves = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Discrepancy:
    """A distance and its null value in the same units, each with its standard error over blocks."""

    value: float
    stderr: float
    null: float
    null_stderr: float

    @property
    def excess(self) -> float:
        """Standard errors by which the value lies above its null; up to 2 or so where nothing differs."""
        if not math.isfinite(self.value):
            return math.inf
        error = math.hypot(self.stderr, self.null_stderr)
        return (self.value - self.null) / error if error > 0 else 0.0


class BlockedDistance:
    """One distance in blocks of at most ``most`` rows: its null is computed once, for any number of samples.

    halves: rows of the two independent halves of the reference. A block is a random choice of rows, by
    ``seed``. Raises InputError where a half has under 200 rows.
    """

    def __init__(self, distance: DistanceFunction, halves: Halves, most: int, seed: int = 0) -> None:
        for half in halves:
            require_frames(half)
        self.distance, self.halves, self.seed = distance, halves, seed
        self.size = min(most, *(len(half) for half in halves))
        self._nulls: dict[int, tuple[float, float]] = {}

    def __call__(self, samples: np.ndarray) -> Discrepancy:
        """Of samples [n, ...] that are equally weighted. Raises InputError for under 200."""
        require_frames(samples)
        size = min(self.size, len(samples))
        generator = np.random.default_rng(self.seed)
        values = [
            self.distance(rows(samples, size, generator), rows(self.halves[block % 2], size, generator))
            for block in range(N_BLOCKS)
        ]
        return Discrepancy(*mean_and_error(values), *self._null(size))

    def _null(self, size: int) -> tuple[float, float]:
        if size not in self._nulls:
            generator = np.random.default_rng(self.seed + 1)
            early, late = self.halves
            self._nulls[size] = mean_and_error(
                [
                    self.distance(rows(early, size, generator), rows(late, size, generator))
                    for _ in range(N_BLOCKS)
                ]
            )
        return self._nulls[size]


def require_frames(frames: np.ndarray) -> None:
    """Raises InputError for fewer than 200 frames, of which no distance says anything."""
    if len(frames) < LEAST_FRAMES:
        raise InputError(f"not enough frames: {len(frames)} to compare; give at least {LEAST_FRAMES}.")


def rows(values: np.ndarray, n: int, generator: np.random.Generator) -> np.ndarray:
    """``n`` rows at random, none twice."""
    return values[generator.choice(len(values), n, replace=False)]


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard error; infinite and nan where a value is infinite."""
    if not all(math.isfinite(value) for value in values):
        return math.inf, math.nan
    return float(np.mean(values)), float(np.std(values, ddof=1) / math.sqrt(len(values)))
