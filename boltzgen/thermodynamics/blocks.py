"""Bootstrap over independent blocks, and bias by extrapolation in sample size.

Frames of one ladder of replica exchange depend on each other, ladders do not: ladders are drawn, with
replacement, never single frames. Samples of a model are independent; they are drawn in batches, which is the
same and quicker.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from boltzgen.errors import InputError

REPLICATES = 100
BATCHES = 100

Blocks = Float[np.ndarray, "_ _"]
"""One value a sample [blocks, each]; blocks are independent of each other."""


@dataclass(frozen=True)
class Bootstrapped:
    """A value, what resampled data gave, and how much the value is biased by the finite number of samples.

    stderr: spread of the replicates, made larger by √(b/(b − 1)) for b blocks. bias: expected value minus the
    true one, by extrapolation from halves of the data; the value is not corrected for it.
    """

    value: float
    stderr: float
    bias: float
    replicates: Float[np.ndarray, " replicates"]


def in_batches(values: Float[np.ndarray, " samples"], batches: int = BATCHES) -> Blocks:
    """Independent ``values`` as blocks of equal size, at most ``batches``; the few left over are dropped."""
    each = max(len(values) // batches, 1)
    return values[: len(values) // each * each].reshape(-1, each)


def drawn_blocks(
    blocks: int, seed: tuple[int, ...], replicates: int = REPLICATES
) -> list[Int[np.ndarray, " blocks"]]:
    """For each replicate the blocks that are drawn, with replacement; the same ones for the same ``seed``."""
    random = np.random.default_rng(seed)
    return [random.integers(0, blocks, blocks) for _ in range(replicates)]


def independent(value: float, stderr: float, seed: tuple[int, ...]) -> Bootstrapped:
    """An estimate of which only value and error are known, from data of its own: replicates are normal."""
    random = np.random.default_rng(seed)
    return Bootstrapped(value, stderr, math.nan, random.normal(value, stderr, REPLICATES))


def bootstrapped(
    estimate: Callable[..., float],
    data: tuple[Blocks, ...],
    draws: Sequence[tuple[Int[np.ndarray, " _"], ...]],
) -> Bootstrapped:
    """``estimate`` of the flattened ``data``, and of each of ``draws`` of its blocks.

    Estimators that share ``draws`` have replicates that belong together: the spread of their differences is
    the error of the difference.
    """
    if min(len(blocks) for blocks in data) < 2:
        raise InputError("There are fewer than two independent blocks, which give no standard error.")
    value = estimate(*(blocks.ravel() for blocks in data))
    replicates = np.array(
        [
            estimate(*(blocks[rows].ravel() for blocks, rows in zip(data, drawn, strict=True)))
            for drawn in draws
        ]
    )
    return Bootstrapped(
        value, _spread(replicates, data), extrapolated_bias(estimate, data, value), replicates
    )


def small_sample_factor(*blocks: int) -> float:
    """√(b/(b − 1)) of the fewest blocks b: resampling b blocks makes the variance too small by that."""
    fewest = min(blocks)
    return math.sqrt(fewest / (fewest - 1))


def extrapolated_bias(estimate: Callable[..., float], data: tuple[Blocks, ...], value: float) -> float:
    """The bias of ``value``, the estimate of all data, if biases go with one over the number of samples.

    The mean over two halves has twice the bias of the whole, so that the whole's is the difference.
    """
    halves = [
        estimate(*(blocks[part::2].ravel() for blocks in data)) for part in (0, 1)
    ]  # neighbouring blocks go to different halves
    return float(np.mean(halves)) - value


def _spread(replicates: np.ndarray, data: tuple[Blocks, ...]) -> float:
    return float(replicates.std(ddof=1)) * small_sample_factor(*(len(blocks) for blocks in data))
