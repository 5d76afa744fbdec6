"""Statistics of marginals against closed forms, and the circle against its rotations."""

import math

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import trapezoid

from boltzgen.evaluation.marginals import (
    circular_ks_statistic,
    emptiest_angle,
    js_divergence,
    kl_divergence,
    ks_statistic,
)


def test_ks_of_shifted_gaussians():
    rng = np.random.default_rng(0)
    x, y = rng.normal(0.0, 1.0, 40_000), rng.normal(0.5, 1.0, 40_000)
    exact = 2 * stats.norm.cdf(0.25) - 1
    assert ks_statistic(x, y) == pytest.approx(exact, abs=3 / math.sqrt(40_000))
    assert ks_statistic(np.full(300, np.inf), y) == 1.0


def test_circular_ks_does_not_know_where_zero_is():
    rng = np.random.default_rng(1)
    x, y = rng.vonmises(math.pi, 3.0, 5000), rng.vonmises(math.pi - 0.4, 3.0, 5000)
    cut = emptiest_angle(y)
    found = circular_ks_statistic(x, y, cut)
    assert math.cos(cut - math.pi) < -0.5
    for turn in (0.3, 2.0, 4.5):
        assert circular_ks_statistic(x + turn, y + turn, cut + turn) == pytest.approx(found, abs=1e-12)
    # Without the cut, the basin at the seam of (−π, π] is torn in two.
    assert found == pytest.approx(ks_statistic(np.mod(x, 2 * math.pi), np.mod(y, 2 * math.pi)), abs=0.01)


def test_emptiest_angle_of_a_folded_torsion():
    values = np.concatenate([np.linspace(-1.5, -0.3, 500), np.linspace(0.2, 1.5, 500)])
    angle = emptiest_angle(values, math.pi)
    assert -0.3 < (angle + 0.5 * math.pi) % math.pi - 0.5 * math.pi < 0.2


def test_divergences_of_two_von_mises_densities():
    first, second = stats.vonmises(2.0, loc=0.0), stats.vonmises(2.0, loc=0.8)
    x, y = (d.rvs(200_000, random_state=i) for i, d in enumerate((first, second)))
    grid = np.linspace(-math.pi, math.pi, 20_001)
    p, q = second.pdf(grid), first.pdf(grid)
    kl = trapezoid(p * np.log(p / q), grid)
    m = 0.5 * (p + q)
    js = 0.5 * trapezoid(p * np.log(p / m) + q * np.log(q / m), grid)
    assert kl_divergence(x, y) == pytest.approx(kl, rel=0.02)
    assert js_divergence(x, y) == pytest.approx(js, rel=0.03)
    assert js_divergence(y, x) == pytest.approx(js_divergence(x, y), rel=1e-12)


def test_divergences_of_a_dropped_basin_are_bounded_and_large():
    rng = np.random.default_rng(2)
    both = np.concatenate([rng.normal(-1.5, 0.1, 3000), rng.normal(1.5, 0.1, 3000)])
    one = rng.normal(1.5, 0.1, 3000)
    disjoint = js_divergence(one, rng.normal(-1.5, 0.1, 3000))
    assert disjoint == pytest.approx(math.log(2), abs=1e-9)
    assert 0.2 < js_divergence(one, both) < math.log(2)
    assert 1.0 < kl_divergence(one, both) < math.inf
    assert kl_divergence(both, one) == pytest.approx(math.log(2), abs=0.05)
