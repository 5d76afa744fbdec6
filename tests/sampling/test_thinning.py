"""Thinned samples give the averages of all, with weights more equal."""

import math

import pytest
import torch

from boltzgen.errors import InputError
from boltzgen.sampling.importance import effective_sample_size
from boltzgen.sampling.thinning import log_threshold, thin, thinned_share


def heavy_weights(n: int, seed: int = 0) -> torch.Tensor:
    return 1.5 * torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_threshold_keeps_the_number_asked_for():
    log_weights = heavy_weights(5000)
    log_c = log_threshold(log_weights, 700)
    assert float((log_weights - log_c).exp().clamp(max=1.0).sum()) == pytest.approx(700)


def test_exactly_n_distinct_samples_are_kept_and_heavy_ones_as_they_are():
    log_weights = heavy_weights(5000)
    kept, thinned = thin(log_weights, 700, torch.Generator().manual_seed(1))
    log_c = log_threshold(log_weights, 700)
    assert len(kept.unique()) == len(kept) == 700
    assert set(torch.nonzero(log_weights > log_c).flatten().tolist()) <= set(kept.tolist())
    torch.testing.assert_close(thinned, log_weights[kept].clamp(min=log_c))


def test_weighted_sums_are_unbiased_over_the_choices():
    """With the weights given, the mean over choices is the sum over all: for one, and for a function."""
    log_weights, generator = heavy_weights(60), torch.Generator().manual_seed(2)
    values = torch.randn(60, generator=generator, dtype=torch.float64)
    sums = []
    for _ in range(2000):
        kept, thinned = thin(log_weights, 12, generator)
        sums.append(torch.stack((thinned.exp().sum(), (thinned.exp() * values[kept]).sum())))
    mean, error = torch.stack(sums).mean(0), torch.stack(sums).std(0) / math.sqrt(2000)
    exact = torch.stack((log_weights.exp().sum(), (log_weights.exp() * values).sum()))
    assert abs(float(mean[0] - exact[0])) < 1e-9 * float(exact[0])  # systematic: the total is kept exactly
    assert abs(float(mean[1] - exact[1])) < 4 * float(error[1])


def test_thinning_twice_is_thinning_once():
    """Chances multiply: min(1, w/c) min(1, max(w, c)/c') = min(1, w/c') for c' > c."""
    log_weights = heavy_weights(20_000)
    _, once = thin(log_weights, 5000, torch.Generator().manual_seed(3))
    _, twice = thin(once, 1000, torch.Generator().manual_seed(4))
    share = effective_sample_size(twice) / 1000
    assert share == pytest.approx(thinned_share(log_weights, 1000), rel=0.02)
    assert share > 1.3 * effective_sample_size(once) / 5000 > effective_sample_size(log_weights) / 20_000


def test_share_of_lognormal_weights_rises_towards_one():
    log_weights = heavy_weights(100_000)
    assert thinned_share(log_weights, 100_000) == pytest.approx(math.exp(-(1.5**2)), rel=0.15)
    assert thinned_share(log_weights, 1000) > 0.95


def test_shares_with_clashes_among_the_samples():
    """Without thinning the share is Kish's, of all samples; clashes may be without weight or nearly so."""
    clashes = torch.tensor([-math.inf, -1e7, -800.0], dtype=torch.float64)
    log_weights = torch.cat((heavy_weights(500), clashes))
    assert thinned_share(log_weights, 503) == pytest.approx(effective_sample_size(log_weights) / 503)
    assert thinned_share(log_weights, 50) == pytest.approx(thinned_share(heavy_weights(500), 50))


def test_samples_without_weight_fill_up_only():
    log_weights = torch.cat((heavy_weights(10), torch.full((90,), -math.inf, dtype=torch.float64)))
    kept, thinned = thin(log_weights, 30, torch.Generator().manual_seed(5))
    assert len(kept.unique()) == 30
    torch.testing.assert_close(thinned, log_weights[kept])
    assert set(range(10)) <= set(kept.tolist())
    kept, _ = thin(log_weights, 5, torch.Generator().manual_seed(6))
    assert (kept < 10).all()


def test_fewer_than_asked_for_stay_as_they_are():
    log_weights = heavy_weights(5)
    kept, thinned = thin(log_weights, 9)
    assert kept.tolist() == [0, 1, 2, 3, 4]
    torch.testing.assert_close(thinned, log_weights)
    with pytest.raises(InputError, match="keep at least one"):
        thin(log_weights, 0)
