"""Whatever log weights come: a figure that can be, or an InputError; never NaN, never another exception."""

import math

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from boltzgen.ensemble import Ensemble
from boltzgen.errors import InputError, NotConvergedError
from boltzgen.molecules.molecule import Molecule
from boltzgen.sampling.importance import (
    WeightStatistics,
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

ANY = st.floats(allow_nan=True, allow_infinity=True)
ORDINARY = st.floats(-50.0, 50.0)
USABLE = st.one_of(ORDINARY, st.floats(-1e300, 1e300), st.just(-math.inf))
fuzz = settings(max_examples=150, deadline=None, derandomize=True)


def usable(log_weights):
    return torch.tensor(log_weights, dtype=torch.float64)


@given(st.lists(st.one_of(ANY, ORDINARY), max_size=40))
@example([])
@example([math.nan])
@example([-math.inf] * 30)
@example([math.inf, 0.0])
@fuzz
def test_weights_are_used_or_refused(log_weights):
    tensor = usable(log_weights)
    possible = len(log_weights) > 0 and bool((tensor < math.inf).all()) and bool((tensor > -math.inf).any())
    for function in (
        normalized_weights,
        effective_sample_size,
        clipped_effective_sample_size,
        log_mean_weight,
        pareto_k,
        WeightStatistics.of,
        lambda w: systematic_resample(w, 5),
        lambda w: weighted_mean(torch.ones_like(w), w),
    ):
        if possible:
            function(tensor)
        else:
            with pytest.raises(InputError):
                function(tensor)


@given(st.lists(USABLE, min_size=1, max_size=60).filter(lambda w: max(w) > -math.inf))
@example([1e308, 0.0, 1e308])
@example([-1e308] * 3)
@example([1e300] + [0.0] * 40)
@example([700.0, -700.0] * 20)
@example([1e17, 1e17 - 100.0])
@fuzz
def test_figures_of_usable_weights_are_what_the_weights_say(log_weights):
    tensor, n = usable(log_weights), len(log_weights)
    plain = np.exp(np.array(log_weights) - max(log_weights))
    expected = plain.sum() ** 2 / (plain**2).sum()
    assert effective_sample_size(tensor) == pytest.approx(expected, rel=1e-9)
    assert 1.0 - 1e-9 <= effective_sample_size(tensor) <= n * (1.0 + 1e-9)
    assert clipped_effective_sample_size(tensor) == pytest.approx(expected, rel=1e-9)  # n < 1e4: no clipping
    np.testing.assert_allclose(normalized_weights(tensor).numpy(), plain / plain.sum(), atol=1e-12)
    log_z = log_mean_weight(tensor)
    assert log_z.value == pytest.approx(max(log_weights) + math.log(plain.mean()), rel=1e-9, abs=1e-9)
    relative_error = plain.std(ddof=1) / plain.mean() / math.sqrt(n) if n > 1 else math.inf
    assert log_z.stderr == pytest.approx(relative_error, rel=1e-5, abs=1e-7)
    assert not math.isnan(pareto_k(tensor))
    assert (pareto_k(tensor) == math.inf) == (n < 25)


@given(st.lists(USABLE, min_size=1, max_size=40).filter(lambda w: max(w) > -math.inf), st.integers(1, 100))
@fuzz
def test_resampling_takes_each_sample_as_often_as_it_should(log_weights, n):
    tensor = usable(log_weights)
    counts = np.bincount(
        systematic_resample(tensor, n, torch.Generator().manual_seed(0)), minlength=len(tensor)
    )
    expected = n * normalized_weights(tensor).numpy()
    assert counts.sum() == n
    assert (counts >= np.floor(expected - 1e-9)).all()
    assert (counts <= np.ceil(expected + 1e-9)).all()
    assert (counts[expected == 0.0] == 0).all()


@given(st.lists(st.tuples(USABLE, ANY), min_size=2, max_size=40))
@fuzz
def test_weighted_means_never_see_values_without_weight(pairs):
    log_weights, values = (torch.tensor(column, dtype=torch.float64) for column in zip(*pairs, strict=True))
    if not bool((log_weights > -math.inf).any()):
        return
    weights = normalized_weights(log_weights)
    values = torch.where(weights > 0, values.nan_to_num(0.0, 0.0, 0.0).clamp(-1e6, 1e6), values)
    mean = weighted_mean(values, log_weights)
    kept = values[weights > 0]
    assert kept.min() - 1e-3 <= mean.value <= kept.max() + 1e-3
    assert mean.stderr >= 0.0


@given(st.lists(st.one_of(ANY, ORDINARY), min_size=1, max_size=40))
@fuzz
def test_forward_size_is_a_share_or_refused(log_weights):
    tensor = usable(log_weights)
    if bool((tensor > -math.inf).all()):
        assert 0.0 <= forward_effective_sample_size_fraction(tensor) <= 1.0 + 1e-9
    else:
        with pytest.raises(InputError):
            forward_effective_sample_size_fraction(tensor)


@given(st.lists(st.tuples(ANY, ANY), min_size=1, max_size=40))
@example([(math.inf, 0.0), (math.nan, 0.0)])
@fuzz
def test_an_ensemble_of_any_energies_and_densities_has_weights_or_is_refused(pairs):
    u, log_q = (torch.tensor(column, dtype=torch.float64) for column in zip(*pairs, strict=True))
    log_weights = log_importance_weights(u, log_q)
    finite = torch.isfinite(-u - log_q)
    assert torch.equal(log_weights > -math.inf, finite)
    methane = Molecule.from_smiles("C")
    x = torch.zeros(len(u), 5, 3)
    if not bool(finite.any()):
        with pytest.raises(NotConvergedError):
            Ensemble.from_samples(methane, x, u, log_q, 300.0)
        return
    ensemble = Ensemble.from_samples(methane, x, u, log_q, 300.0)
    assert ensemble.weights.sum() == pytest.approx(1.0)
    assert not np.isnan(ensemble.weights).any()
    assert math.isfinite(ensemble.log_z.value)
    assert not math.isnan(ensemble.mean(np.ones(len(u))).value)
