"""Transport against closed forms, all permutations, scipy and the assignment problem."""

import math
from itertools import permutations

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import linear_sum_assignment

from boltzgen.evaluation.transport import (
    euclidean_wasserstein,
    line_wasserstein,
    torus_wasserstein,
    transport_distance,
)


@pytest.mark.parametrize("order", [1, 2])
def test_plan_is_the_best_of_all_permutations(order):
    rng = np.random.default_rng(order)
    costs = rng.uniform(0, 1, (6, 6))
    best = min(np.mean([costs[i, j] ** order for i, j in enumerate(p)]) for p in permutations(range(6)))
    assert transport_distance(costs, order) == pytest.approx(best ** (1 / order), rel=1e-9)


def test_w2_of_gaussians():
    """W₂² = |μ₁ − μ₂|² + tr(Σ₁ + Σ₂ − 2(Σ₁Σ₂)^½) (Dowson and Landau 1982), here with diagonal Σ.

    A gradient of a convex function is its own optimal plan (Brenier 1991): y = x Σ₂^½ Σ₁^−½ + μ₂ − μ₁.
    """
    first, second = np.array([1.0, 0.5, 2.0]), np.array([1.5, 0.5, 1.0])
    shift = np.array([2.0, -1.0, 0.5])
    exact = math.sqrt(np.sum(shift**2) + np.sum((first - second) ** 2))
    x = np.random.default_rng(0).normal(size=(1000, 3)) * first
    y = x * second / first + shift
    found = euclidean_wasserstein(x, np.random.default_rng(1).permutation(y), 2)
    assert found == pytest.approx(math.sqrt(np.mean(np.sum((x - y) ** 2, axis=1))), rel=1e-9)
    assert found == pytest.approx(exact, rel=0.03)


def test_line_is_scipys():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=500), rng.gamma(2.0, size=500)
    assert line_wasserstein(x, y, 1) == pytest.approx(stats.wasserstein_distance(x, y), rel=1e-12)
    assert line_wasserstein(np.append(x[1:], np.inf), y, 1) == math.inf


def test_torus_goes_the_short_way_round():
    seam = np.full((4, 1), math.pi - 0.1), np.full((4, 1), -math.pi + 0.2)
    assert torus_wasserstein(*seam, np.array([2 * math.pi]), 1) == pytest.approx(0.3)
    folded = np.full((4, 1), 1.5), np.full((4, 1), -1.5)
    assert torus_wasserstein(*folded, np.array([math.pi]), 2) == pytest.approx(math.pi - 3.0)


def test_torus_is_the_assignment_problem():
    rng = np.random.default_rng(2)
    x, y = rng.uniform(-math.pi, math.pi, (2, 60, 2))
    geodesics = np.angle(np.exp(1j * (x[:, None] - y[None])))
    costs = np.sum(geodesics**2, axis=-1)
    best = costs[linear_sum_assignment(costs)].mean()
    assert torus_wasserstein(x, y, np.full(2, 2 * math.pi), 2) == pytest.approx(math.sqrt(best), rel=1e-9)
