"""Samples of a model and frames of the target as one weighted ensemble.

Every configuration is taken as one of the mixture of both distributions, N_q q + N_p p: it has the weight
p̃ / (N_q q + N_p p̃/Z), which is that of MBAR with two states (Shirts and Chodera 2008). No weight exceeds
Z/N_p, however little the model makes of a configuration. Z is that of Bennett's acceptance ratio.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from boltzgen.thermodynamics.blocks import Blocks, Bootstrapped, bootstrapped, drawn_blocks, in_batches
from boltzgen.thermodynamics.estimators import LADDERS, MOST_WORK, SAMPLES, bennett
from boltzgen.thermodynamics.overlap import bennett_overlap


@dataclass(frozen=True)
class Combined:
    """Weights of samples and frames together, and the free energy they imply.

    Attributes
    ----------
    samples, frames
        ln of the weight of each sample, and of each frame [ladders, each]: the mean weight is Z.
    f
        −ln Z with its bootstrap.
    overlap
        Of the two distributions: one where they are equal, zero where they have nothing in common.
    """

    samples: Float[np.ndarray, " samples"]
    frames: Blocks
    f: Bootstrapped
    overlap: float


def combined(samples: Float[np.ndarray, " samples"], frames: Blocks, seed: int = 0) -> Combined:
    """Combine samples of a model and frames of the target.

    Parameters
    ----------
    samples
        ln w = −u − ln q of independent samples of the model; −∞ where a sample has no weight.
    frames
        The same of frames of the target [ladders, each], +∞ where the model cannot make one. Frames of a
        ladder should be so far apart that they are nearly independent: all count as one sample each.
    seed
        Of the bootstrap over samples and ladders.

    Raises
    ------
    NotConvergedError
        Where the two have so little in common that there is no difference between them.
    """
    data = in_batches(samples), frames
    draws = list(
        zip(
            drawn_blocks(len(data[0]), (seed, SAMPLES)),
            drawn_blocks(len(frames), (seed, LADDERS)),
            strict=True,
        )
    )
    f = bootstrapped(bennett, data, draws)
    works = np.clip(-samples, None, MOST_WORK), np.clip(frames.ravel(), -MOST_WORK, MOST_WORK)
    overlap = bennett_overlap(*works, f.value)

    def log_weights(log_w: np.ndarray) -> np.ndarray:
        mixed = log_mixture_weights(log_w, samples.size, frames.size, f.value)
        return math.log(samples.size + frames.size) - f.value + mixed

    return Combined(log_weights(samples), log_weights(frames), f, overlap)


def log_mixture_weights(
    log_weights: Float[np.ndarray, "*some"], n: int, m: int, f: float
) -> Float[np.ndarray, "*some"]:
    """ln of p/(n q + m p), n samples and m frames, where ``log_weights`` = ln w and q/p = exp(−f − ln w)."""
    return -np.logaddexp(math.log(n) - f - log_weights, math.log(m))
