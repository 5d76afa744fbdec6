"""Maximum mean discrepancy with a Gaussian kernel (Gretton et al., JMLR 13, 723, 2012)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.spatial.distance import cdist


def squared_mmd(x: Float[np.ndarray, "n features"], y: Float[np.ndarray, "n features"]) -> float:
    """Unbiased MMD², eq. 4 for as many of each: about 0, of either sign, where both are of one distribution.

    The kernel is exp(−d²/2h²), h the median distance among all rows.
    """
    return _statistic(_kernel(x, y), np.r_[np.ones(len(x)), -np.ones(len(y))])


def permutation_p_value(
    x: Float[np.ndarray, "n features"],
    y: Float[np.ndarray, "n features"],
    n_permutations: int = 200,
    seed: int = 0,
) -> float:
    """Share of random divisions of all rows in two whose MMD² is as large: for independent rows only."""
    kernel = _kernel(x, y)
    signs = np.r_[np.ones(len(x)), -np.ones(len(y))]
    found = _statistic(kernel, signs)
    generator = np.random.default_rng(seed)
    larger = sum(_statistic(kernel, generator.permutation(signs)) >= found for _ in range(n_permutations))
    return (1 + larger) / (1 + n_permutations)


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    rows = np.concatenate([x, y])
    squares = cdist(rows, rows, "sqeuclidean")
    median = np.median(squares[np.triu_indices(len(rows), 1)])
    return np.exp(-squares / (2.0 * max(float(median), 1e-12)))


def _statistic(kernel: np.ndarray, signs: np.ndarray) -> float:
    """Σ_{i≠j} k/(n(n−1)) within each set minus 2 Σ k/n² between them."""
    first, second = signs > 0, signs < 0
    n, m = int(first.sum()), int(second.sum())
    diagonal = np.diag(kernel)
    towards_first, towards_second = kernel @ first, kernel @ second
    within = (first @ towards_first - diagonal[first].sum()) / (n * (n - 1))
    within += (second @ towards_second - diagonal[second].sum()) / (m * (m - 1))
    return float(within - 2.0 * (first @ towards_second) / (n * m))
