"""Estimators of f = −ln Z from a model of known density q and the target p(x) = exp(−u(x))/Z.

All are made of ln w(x) = −u(x) − ln q(x), of samples x ~ q and of frames x ~ p that the model has not seen:

=====================  ==========================================================================
importance weights     Z = E_q[w] (Zwanzig 1954; targeted perturbation, Jarzynski 2002)
frames in the model    Z = P_q(A) / E_p[1_A/w] over A = {w > c}, on which 1/w is bounded
Bennett                the ratio of both that has the least variance (Bennett 1976; Meng and Wong 1996)
=====================  ==========================================================================

The bounds E_q[ln w] ≤ ln Z ≤ E_p[ln w] follow from Jensen's inequality: −E_q[ln w] ≥ f ≥ −E_p[ln w].

A mode that the model does not make is missing from the first estimate and not from the second, which is why
they are compared. The second is bounded on purpose: the mean of 1/w over all frames leaves out, without any
sign in its own error, whatever share of its samples the model wastes on places that frames never show.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from boltzgen.thermodynamics import quiet
from boltzgen.thermodynamics.blocks import Blocks, Bootstrapped, bootstrapped, drawn_blocks, in_batches
from boltzgen.thermodynamics.overlap import bennett_overlap

IMPORTANCE, FRAMES, BENNETT = "importance weights", "frames in the model", "Bennett"
LEAST_WEIGHT = math.log(20.0)  # below the mean weight: where the region A of ``frames in the model`` ends
MOST_WORK = 1e6  # in place of infinite reduced work
SAMPLES, LADDERS = 0, 1  # whose blocks are drawn


@dataclass(frozen=True)
class Bounds:
    """−E_q[ln w] ≥ f ≥ −E_p[ln w], each with its standard error; the lower one where there are frames.

    The upper bound is infinite where a sample has no weight.
    """

    upper: float
    upper_stderr: float
    lower: float | None = None
    lower_stderr: float | None = None


@dataclass(frozen=True)
class WeightedData:
    """ln w of samples of the model, in batches, and of frames of the target, ladder by ladder.

    Frames that the model cannot make have ln w = +∞; samples without weight −∞.
    """

    samples: Blocks
    frames: Blocks | None = None

    @classmethod
    def of(cls, samples: Float[np.ndarray, " samples"], frames: Blocks | None = None) -> WeightedData:
        """Of independent ``samples``, and of ``frames`` [ladders, each]."""
        return cls(
            in_batches(np.asarray(samples, dtype=np.float64)),
            None if frames is None else np.asarray(frames, dtype=np.float64),
        )


def estimates(data: WeightedData, seed: int = 0) -> dict[str, Bootstrapped]:
    """Every estimator of f that ``data`` allows, by name; replicates of different ones belong together.

    Those of samples and frames are drawn with ``(seed, SAMPLES)`` and ``(seed, LADDERS)``, for who draws
    the same blocks elsewhere.
    """
    samples, frames = data.samples, data.frames
    own = drawn_blocks(len(samples), (seed, SAMPLES))
    found = {IMPORTANCE: bootstrapped(importance, (samples,), list(zip(own)))}
    if frames is not None:
        draws = list(zip(own, drawn_blocks(len(frames), (seed, LADDERS)), strict=True))
        least = -importance(samples.ravel()) - LEAST_WEIGHT

        def within(ours: np.ndarray, theirs: np.ndarray) -> float:
            return frames_in_model(ours, theirs, least)

        found[FRAMES] = bootstrapped(within, (samples, frames), draws)
        found[BENNETT] = bootstrapped(bennett, (samples, frames), draws)
    return found


def importance(log_weights: Float[np.ndarray, " samples"]) -> float:
    """f = −ln E_q[w]."""
    return -_log_mean_exp(log_weights)


def frames_in_model(
    samples: Float[np.ndarray, " samples"], frames: Float[np.ndarray, " frames"], least: float
) -> float:
    """f = −ln P_q(A) + ln E_p[1_A/w], with A the configurations with ln w > ``least``."""
    share = float(np.mean(samples > least))
    if share == 0.0:
        return math.inf
    return _log_mean_exp(np.where(frames > least, -frames, -math.inf)) - math.log(share)


def bennett(samples: Float[np.ndarray, " samples"], frames: Float[np.ndarray, " frames"]) -> float:
    """f = −ln Z by Bennett's acceptance ratio between the model, which is normalised, and the target."""
    return quiet.bar(*_works(samples, frames))


def model_overlap(data: WeightedData, f: float) -> float:
    """How much the model and the target have in common, from 0 to 1 (see ``overlap.bennett_overlap``)."""
    assert data.frames is not None
    return bennett_overlap(*_works(data.samples.ravel(), data.frames.ravel()), f)


def _works(samples: np.ndarray, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Reduced work from the model to the target and back; infinite work is as good as any that is large."""
    return np.clip(-samples, None, MOST_WORK), np.clip(frames, None, MOST_WORK)


def bounds(data: WeightedData) -> Bounds:
    """The bounds of f by ``data``."""
    upper, upper_stderr = _mean_of_blocks(-data.samples)
    if data.frames is None:
        return Bounds(upper, upper_stderr)
    return Bounds(upper, upper_stderr, *_mean_of_blocks(-data.frames))


def _mean_of_blocks(blocks: Blocks) -> tuple[float, float]:
    means = blocks.mean(axis=1)
    if not np.isfinite(means).all():
        return float(means.mean()), math.nan
    return float(means.mean()), float(means.std(ddof=1)) / math.sqrt(len(means))


def _log_mean_exp(values: Float[np.ndarray, " n"]) -> float:
    largest = values.max()
    if not math.isfinite(largest):
        return float(largest)
    return float(largest + np.log(np.mean(np.exp(values - largest))))
