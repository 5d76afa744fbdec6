"""Distances between one-dimensional marginals: Kolmogorov–Smirnov, Kullback–Leibler and Jensen–Shannon.

Torsions live on a circle, where Kolmogorov and Smirnov's statistic depends on where the circle is cut. It is
cut where the reference has the fewest frames, so that no basin is torn apart, and then left to scipy.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float
from scipy import stats

N_BINS = 36
PSEUDO_COUNT = 0.5  # of Krichevsky and Trofimov, in every bin


def ks_statistic(x: Float[np.ndarray, " samples"], y: Float[np.ndarray, " frames"]) -> float:
    """sup |F_x − F_y| of two sets of numbers; infinite energies count as the largest."""
    return float(stats.ks_2samp(x, y, method="asymp").statistic)


def circular_ks_statistic(
    x: Float[np.ndarray, " samples"], y: Float[np.ndarray, " frames"], cut: float, period: float = 2 * math.pi
) -> float:
    """sup |F_x − F_y| of two sets of angles (radians) on a circle that is cut open at ``cut``."""
    return ks_statistic(np.mod(x - cut, period), np.mod(y - cut, period))


def emptiest_angle(values: Float[np.ndarray, " frames"], period: float = 2 * math.pi) -> float:
    """The middle of the bin (of 36) that holds the fewest angles, in radians."""
    counts, edges = np.histogram(np.mod(values, period), N_BINS, (0.0, period))
    return float(edges[np.argmin(counts)] + 0.5 * period / N_BINS)


def kl_divergence(
    x: Float[np.ndarray, " samples"], y: Float[np.ndarray, " frames"], period: float = 2 * math.pi
) -> float:
    """KL(reference y ‖ samples x) of histograms of angles, in nats.

    Half a count is added to every bin: a bin without samples gives a large number, not infinity.
    """
    p, q = (_histogram(values, period) + PSEUDO_COUNT for values in (y, x))
    return float(stats.entropy(p, q))


def js_divergence(
    x: Float[np.ndarray, " samples"], y: Float[np.ndarray, " frames"], period: float = 2 * math.pi
) -> float:
    """Jensen–Shannon divergence of histograms of angles, in nats: 0 to ln 2 (Lin 1991)."""
    p, q = (_histogram(values, period) / len(values) for values in (x, y))
    mixture = 0.5 * (p + q)
    used = mixture > 0
    return float(sum(0.5 * stats.entropy(one[used], mixture[used]) for one in (p, q)))


def _histogram(values: np.ndarray, period: float) -> np.ndarray:
    return np.histogram(np.mod(values, period), N_BINS, (0.0, period))[0].astype(np.float64)
