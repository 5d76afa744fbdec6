"""Whether estimators of one free energy agree, and which value is reported.

Estimators that share data have errors that go together, so that the error of a difference is the spread of
the differences of their replicates. More than three of it is a disagreement: the cheapest alarm there is for
a mode that a model has dropped, or that replica exchange has not populated as it should.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from boltzgen.thermodynamics.blocks import Bootstrapped

MOST_ERRORS = 3.0
LEAST_DIFFERENCE = 2e-3  # kT: what rounding in single precision and finite bootstraps leave


@dataclass(frozen=True)
class Disagreement:
    """Two estimators, their difference (first minus second) and its standard error, in the values' units."""

    first: str
    second: str
    difference: float
    stderr: float

    @property
    def errors(self) -> float:
        """The difference in units of its standard error."""
        return abs(self.difference) / self.stderr if self.stderr > 0 else math.inf


def disagreements(
    found: Mapping[str, Bootstrapped],
    least_difference: float = LEAST_DIFFERENCE,
    most_errors: float = MOST_ERRORS,
) -> list[Disagreement]:
    """Every pair that differs by more than ``most_errors`` standard errors of the difference."""
    pairs = [difference(found, *pair) for pair in itertools.combinations(found, 2)]
    return [pair for pair in pairs if pair.errors > most_errors and abs(pair.difference) > least_difference]


def difference(found: Mapping[str, Bootstrapped], first: str, second: str) -> Disagreement:
    """How two estimators differ."""
    one, other = found[first], found[second]
    common = min(len(one.replicates), len(other.replicates))
    spread = float(np.std(one.replicates[:common] - other.replicates[:common], ddof=1))
    # Few blocks make replicates too narrow; the estimators' own errors know by how much.
    factors = [each.stderr / np.std(each.replicates, ddof=1) for each in (one, other) if each.stderr > 0]
    return Disagreement(first, second, one.value - other.value, spread * max([1.0, *map(float, factors)]))


def reported(found: Mapping[str, Bootstrapped], preference: Sequence[str]) -> str:
    """The first of ``preference`` that there is with a finite value."""
    return next(name for name in preference if name in found and math.isfinite(found[name].value))
