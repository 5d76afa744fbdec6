"""Figures that decide whether weights can be trusted, each on a scale of zones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from boltzgen.evaluation.convergence import MAX_MISSED_SHARE, MIN_EFFECTIVE_SAMPLES
from boltzgen.sampling.importance import MAX_PARETO_K

MANY_SAMPLES = 1000.0
GOOD_PARETO_K = 0.5  # below it the variance of the weights is finite
WORST_PARETO_K = 1.2


class Zone(NamedTuple):
    """A part of a scale: its colour, the value at which it starts, in words, and its width in per cent."""

    colour: str
    start: str
    width: float


class Scale(NamedTuple):
    """A figure on a scale from ``low`` to ``high``; ``place``: where its marker is, in per cent."""

    name: str
    text: str
    meaning: str
    value: float
    low: float
    high: float
    place: float
    zones: tuple[Zone, ...]


def effective_sample_scale(effective: float, n_samples: int) -> Scale:
    """Effective samples on a logarithmic scale from one to all."""
    most = max(float(n_samples), 10 * MIN_EFFECTIVE_SAMPLES)
    ends = (1.0, MIN_EFFECTIVE_SAMPLES, min(MANY_SAMPLES, 0.9 * most), most)
    meaning = (
        "too few: averages and free energy are rough guesses"
        if effective < ends[1]
        else "enough for populations and averages to some per cent"
        if effective < ends[2]
        else "enough for small differences too"
    )
    return Scale(
        "Effective samples",
        f"{effective:,.0f} of {n_samples:,}",
        meaning,
        effective,
        1.0,
        most,
        _place(math.log(max(effective, 1.0)), 0.0, math.log(most)),
        _zones([math.log(end) for end in ends], ("red", "amber", "green"), [f"{end:,.0f}" for end in ends]),
    )


def pareto_scale(k: float) -> Scale:
    """Pareto-k̂, the shape of the tail of the weights."""
    ends = (0.0, GOOD_PARETO_K, MAX_PARETO_K, WORST_PARETO_K)
    meaning = (
        "the tail of the weights is light: errors hold"
        if k < GOOD_PARETO_K
        else "the tail is heavy, the errors still hold"
        if k <= MAX_PARETO_K
        else "the tail is too heavy for the errors to hold"
    )
    place = _place(k, 0.0, WORST_PARETO_K)
    zones = _zones(ends, ("green", "amber", "red"), [f"{end:g}" for end in ends])
    return Scale("Pareto-k", f"{k:.2f}", meaning, k, 0.0, WORST_PARETO_K, place, zones)


def missed_scale(share: float) -> Scale:
    """Share of the population in conformers that the model hardly makes, on a scale of square roots."""
    ends = (0.0, MAX_MISSED_SHARE, 1.0)
    meaning = (
        "every conformer that replica exchange found is sampled"
        if share == 0
        else "less than a hundredth of what replica exchange found is missing"
        if share <= MAX_MISSED_SHARE
        else "the model leaves out conformers that replica exchange found"
    )
    place = 100 * math.sqrt(share)
    zones = _zones([math.sqrt(end) for end in ends], ("green", "red"), ("0 %", "1 %"))
    return Scale("Missed conformers", f"{100 * share:.1f} %", meaning, share, 0.0, 1.0, place, zones)


def _zones(ends: Sequence[float], colours: tuple[str, ...], starts: Sequence[str]) -> tuple[Zone, ...]:
    whole = ends[-1] - ends[0]
    widths = (100 * (after - before) / whole for before, after in pairwise(ends))
    return tuple(
        Zone(colour, start, round(width, 2))
        for colour, start, width in zip(colours, starts, widths, strict=False)
    )


def _place(value: float, low: float, high: float) -> float:
    return round(100 * min(max((value - low) / (high - low), 0.0), 1.0), 2)
