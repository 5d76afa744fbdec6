"""Wasserstein distances by exact optimal transport between two sets of as many samples.

W_p^p = min over plans π of Σ π_ij c(x_i, y_j)^p with the marginals 1/n: the least cost of carrying one set to
the other. On a line the plan is the sorted order; elsewhere the linear program is solved by POT's network
simplex (Flamary et al. 2021).
"""

from __future__ import annotations

import math

import numpy as np
import ot
from jaxtyping import Float
from scipy.spatial.distance import cdist

from boltzgen.errors import EvaluationError
from boltzgen.molecules.torsions import wrapped

MOST_ITERATIONS = 2_000_000


def line_wasserstein(x: Float[np.ndarray, " samples"], y: Float[np.ndarray, " samples"], order: int) -> float:
    """W₁ or W₂ between sets of numbers, in their units; +inf where one of them is infinite."""
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return math.inf
    return float(np.mean(np.abs(np.sort(x) - np.sort(y)) ** order) ** (1.0 / order))


def torus_wasserstein(
    x: Float[np.ndarray, "samples torsions"],
    y: Float[np.ndarray, "samples torsions"],
    periods: Float[np.ndarray, " torsions"],
    order: int,
) -> float:
    """W₁ or W₂ between sets of torsion angles taken together, in radians: the geodesic of the torus."""
    squares = np.zeros((len(x), len(y)))
    for column, period in enumerate(periods):
        squares += wrapped(x[:, column, None] - y[None, :, column], float(period)) ** 2
    return transport_distance(np.sqrt(squares), order)


def euclidean_wasserstein(
    x: Float[np.ndarray, "samples features"], y: Float[np.ndarray, "samples features"], order: int
) -> float:
    """W₁ or W₂ with the Euclidean distance between rows."""
    return transport_distance(cdist(x, y), order)


def transport_distance(costs: Float[np.ndarray, "samples frames"], order: int) -> float:
    """(Σ π_ij c_ij^p)^(1/p) of the optimal plan π between equally weighted points, c_ij their distances."""
    n, m = costs.shape
    total, log = ot.emd2(
        np.full(n, 1.0 / n), np.full(m, 1.0 / m), costs**order, numItermax=MOST_ITERATIONS, log=True
    )
    if log["warning"] is not None:
        raise EvaluationError(f"no optimal transport plan of {n} × {m} samples was found: {log['warning']}")
    return float(max(total, 0.0) ** (1.0 / order))
