"""Importance weights against Gaussians of known Z, scipy's generalised Pareto, and sums written out."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from boltzgen.errors import InputError
from boltzgen.sampling.importance import (
    clipped_effective_sample_size,
    effective_sample_size,
    forward_effective_sample_size_fraction,
    log_importance_weights,
    log_mean_weight,
    normalized_weights,
    pareto_k,
    systematic_resample,
    weighted_mean,
)


def gaussian_problem(n, seed, sigma=1.5, shift=0.3):
    """Samples of q = N(shift, sigma²) for the target exp(−x²/2), Z = √2π: x, u, log q."""
    x = shift + sigma * torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    log_q = torch.from_numpy(stats.norm(shift, sigma).logpdf(x.numpy()))
    return x, 0.5 * x.square(), log_q


def test_log_z_and_means_of_a_gaussian_have_honest_errors():
    """Over 300 repeats the pulls of log Z, ⟨x⟩ and ⟨u⟩ have unit width and no bias."""
    pulls = []
    for seed in range(300):
        x, u, log_q = gaussian_problem(2000, seed)
        log_w = log_importance_weights(u, log_q)
        estimates = (log_mean_weight(log_w), weighted_mean(x, log_w), weighted_mean(u, log_w))
        truths = (0.5 * math.log(2 * math.pi), 0.0, 0.5)
        pulls.append([(e.value - t) / e.stderr for e, t in zip(estimates, truths, strict=True)])
    pulls = np.array(pulls)
    assert np.all(np.abs(pulls.mean(axis=0)) < 4 / math.sqrt(300))
    assert np.all(np.abs(pulls.std(axis=0) - 1) < 4 / math.sqrt(2 * 300))


def test_effective_sample_size_of_a_gaussian_is_the_closed_form():
    """E[w]²/E[w²] for q = N(0, s²), p = N(0, 1): √(2 s² − 1) / s²."""
    s = 1.5
    _, u, log_q = gaussian_problem(200_000, seed=1, sigma=s, shift=0.0)
    share = effective_sample_size(log_importance_weights(u, log_q)) / 200_000
    assert share == pytest.approx(math.sqrt(2 * s**2 - 1) / s**2, abs=5e-3)


def test_forward_effective_sample_size_equals_the_reverse_one_in_expectation():
    """1 / (E_p[w] E_p[1/w]) and E_q[w]² / E_q[w²] are one number, from different samples."""
    s = 1.3
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(200_000, generator=generator, dtype=torch.float64)
    log_w = -0.5 * x.square() - torch.from_numpy(stats.norm(0, s).logpdf(x.numpy())) + 7.0
    expected = math.sqrt(2 * s**2 - 1) / s**2
    assert forward_effective_sample_size_fraction(log_w) == pytest.approx(expected, abs=5e-3)
    assert forward_effective_sample_size_fraction(torch.tensor([0.0, math.inf])) == 0.0


def test_kish_and_clipped_sizes_by_hand():
    w = np.random.default_rng(0).pareto(1.5, 20_000) + 0.1
    log_w = torch.from_numpy(np.log(w)) + 800.0
    assert effective_sample_size(log_w) == pytest.approx(w.sum() ** 2 / (w**2).sum(), rel=1e-12)
    clipped = np.minimum(w, np.sort(w)[-2])
    expected = clipped.sum() ** 2 / (clipped**2).sum()
    assert clipped_effective_sample_size(log_w) == pytest.approx(expected, rel=1e-12)
    assert clipped_effective_sample_size(log_w[:9999]) == effective_sample_size(log_w[:9999])


@pytest.mark.parametrize("k", [0.2, 0.5, 0.9])
def test_pareto_k_finds_the_tail_of_scipys_generalised_pareto(k):
    """The exceedances of a generalised Pareto variable are generalised Pareto with the same shape."""
    found = [
        pareto_k(torch.from_numpy(np.log(stats.genpareto(k).rvs(40_000, random_state=seed))))
        for seed in range(40)
    ]
    error = np.std(found) / math.sqrt(len(found))
    prior_bias = 10 * (0.5 - k) / (600 + 10)
    assert np.mean(found) == pytest.approx(k + prior_bias, abs=4 * error + 0.01)
    assert error < 0.02


def test_pareto_k_at_the_edges():
    assert pareto_k(torch.zeros(100)) == 0.0
    assert pareto_k(torch.randn(20)) == math.inf
    one_owns_all = torch.zeros(1000)
    one_owns_all[3] = 200.0
    assert pareto_k(one_owns_all) > 0.7
    with_clashes = torch.from_numpy(np.random.default_rng(1).normal(size=1000))
    with_clashes[::2] = -math.inf
    assert math.isfinite(pareto_k(with_clashes))


def test_pareto_k_does_not_depend_on_the_scale_of_the_weights():
    log_w = torch.from_numpy(np.random.default_rng(2).normal(size=5000))
    assert pareto_k(log_w + 1000.0) == pytest.approx(pareto_k(log_w), abs=1e-9)


def test_systematic_resampling_takes_floor_or_ceiling_and_is_unbiased():
    log_w = torch.from_numpy(np.random.default_rng(3).normal(size=50))
    log_w[7] = -math.inf
    log_w[-1] = -math.inf
    weights = normalized_weights(log_w)
    generator = torch.Generator().manual_seed(4)
    counts = torch.stack(
        [torch.bincount(systematic_resample(log_w, 200, generator), minlength=50) for _ in range(2000)]
    ).double()
    assert (counts >= (200 * weights).floor()).all()
    assert (counts <= (200 * weights).ceil()).all()
    error = counts.std(dim=0) / math.sqrt(2000)
    assert ((counts.mean(dim=0) - 200 * weights).abs() <= 4.5 * error + 1e-9).all()


def test_clashes_and_nan_carry_no_weight_but_are_counted():
    u = torch.tensor([0.0, math.inf, math.nan, 0.0])
    log_w = log_importance_weights(u, torch.zeros(4))
    assert torch.equal(log_w, torch.tensor([0.0, -math.inf, -math.inf, 0.0], dtype=torch.float64))
    assert log_mean_weight(log_w).value == pytest.approx(math.log(0.5))
    assert weighted_mean(u, log_w).value == 0.0
    assert effective_sample_size(log_w) == pytest.approx(2.0)


@pytest.mark.parametrize("log_w", [[], [-math.inf], [math.nan, 0.0], [math.inf, 0.0]])
def test_weights_that_say_nothing_are_refused(log_w):
    with pytest.raises(InputError):
        effective_sample_size(torch.tensor(log_w))
