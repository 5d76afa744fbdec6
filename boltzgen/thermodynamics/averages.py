"""Boltzmann averages from a model's samples and frames of the target together.

Both are samples of the mixture of the model and the target, and have the weights of ``combined.py``.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from boltzgen.thermodynamics.blocks import Bootstrapped, bootstrapped, drawn_blocks, in_batches
from boltzgen.thermodynamics.combined import log_mixture_weights
from boltzgen.thermodynamics.estimators import LADDERS, SAMPLES, WeightedData


def average(
    of_samples: Float[np.ndarray, " samples"],
    of_frames: Float[np.ndarray, "ladders each"] | None,
    data: WeightedData,
    f: float,
    seed: int = 0,
) -> Bootstrapped:
    """The average of a value that samples have as ``of_samples`` and frames as ``of_frames``.

    Parameters
    ----------
    of_samples
        In the order in which ``data`` was made of samples. Values of samples without weight do not matter.
    of_frames
        None where there are no frames.
    data
        ln w of samples and frames.
    f
        −ln Z.
    seed
        As ``estimators.estimates`` has it, so that replicates belong together.
    """
    samples = np.where(data.samples > -math.inf, in_batches(of_samples), 0.0)
    own = drawn_blocks(len(samples), (seed, SAMPLES))
    if data.frames is None or of_frames is None:

        def weighted(values: np.ndarray, log_weights: np.ndarray) -> float:
            weights = np.exp(log_weights - log_weights.max())
            return float(weights @ values / weights.sum())

        return bootstrapped(weighted, (samples, data.samples), [(rows, rows) for rows in own])

    def mixed(x: np.ndarray, log_x: np.ndarray, y: np.ndarray, log_y: np.ndarray) -> float:
        first = np.exp(log_mixture_weights(log_x, len(x), len(y), f))
        second = np.exp(log_mixture_weights(log_y, len(x), len(y), f))
        return float((first @ x + second @ y) / (first.sum() + second.sum()))

    ladders = drawn_blocks(len(data.frames), (seed, LADDERS))
    draws = [(a, a, b, b) for a, b in zip(own, ladders, strict=True)]
    return bootstrapped(mixed, (samples, data.samples, of_frames, data.frames), draws)
