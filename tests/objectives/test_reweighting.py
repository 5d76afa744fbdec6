"""Reweighting between temperatures and within a trust region, against closed forms of normal densities."""

import math

import numpy as np
import pytest
import torch

from boltzgen.errors import InputError
from boltzgen.models.flow import FlowModel
from boltzgen.models.model import Internal
from boltzgen.objectives.reweighting import model_samples, resampled, tempered
from boltzgen.objectives.trust_region import trust_region_step
from boltzgen.sampling.importance import effective_sample_size, log_mean_weight
from tests.models.toy_coordinates import TorusAndGaussian, ToyCoordinates
from tests.objectives.two_modes import SMALL

N = 60_000


def normal_samples() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """x ~ q = N(0, 2²), log q(x), and log p̃ of p = N(1, 0.5²) up to a constant."""
    x = 2.0 * torch.randn(N, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    log_q = -0.125 * x.square() - math.log(2.0) - 0.5 * math.log(math.tau)
    return x, log_q, -2.0 * (x - 1.0).square() + 17.0


def moments(multipliers: tuple[float, float]) -> tuple[float, float]:
    """Mean and variance of q^(λ/(1+λ+η)) p^(1/(1+λ+η)), normal with precision and pull in proportion."""
    lam, eta = multipliers
    precision = (lam * 0.25 + 4.0) / (1 + lam + eta)
    return 4.0 / (1 + lam + eta) / precision, 1 / precision


def divergence_from_q(mean: float, variance: float) -> float:
    return 0.5 * ((variance + mean**2) / 4.0 - 1.0 - math.log(variance / 4.0))


def divergence_from_p(mean: float, variance: float) -> float:
    return 0.5 * ((variance + (mean - 1.0) ** 2) / 0.25 - 1.0 - math.log(variance / 0.25))


def entropy_loss(variance: float) -> float:
    return 0.5 * math.log(4.0 / variance)


@pytest.mark.parametrize(
    ("max_divergence", "max_entropy_loss", "active"),
    [(0.2, 10.0, (True, False)), (10.0, 0.3, (False, True)), (0.12, 0.25, (True, True))],
)
def test_trust_region_is_the_nearest_allowed_normal_density(max_divergence, max_entropy_loss, active):
    x, log_q, log_p = normal_samples()
    step = trust_region_step(log_p, log_q, max_divergence, max_entropy_loss)
    assert tuple(multiplier > 0 for multiplier in step.multipliers) == active
    mean, variance = moments(step.multipliers)
    weights = torch.softmax(step.log_weights, 0)
    assert float((weights * x).sum()) == pytest.approx(mean, abs=0.03)
    assert float((weights * (x - mean) ** 2).sum()) == pytest.approx(variance, abs=0.05)
    assert step.divergence == pytest.approx(divergence_from_q(mean, variance), abs=0.02)
    assert step.entropy_loss == pytest.approx(entropy_loss(variance), abs=0.02)
    if active[0]:
        assert step.divergence == pytest.approx(max_divergence, abs=1e-6)
    if active[1]:
        assert step.entropy_loss == pytest.approx(max_entropy_loss, abs=1e-6)
    # No normal density that keeps the bounds is nearer to p.
    means, variances = np.meshgrid(np.linspace(-0.5, 2.0, 251), np.geomspace(0.1, 8.0, 400))
    allowed = 0.5 * ((variances + means**2) / 4 - 1 - np.log(variances / 4)) <= max_divergence
    allowed &= 0.5 * np.log(4.0 / variances) <= max_entropy_loss
    others = 0.5 * ((variances + (means - 1) ** 2) / 0.25 - 1 - np.log(variances / 0.25))
    assert divergence_from_p(mean, variance) < others[allowed].min() + 0.02


def test_wide_bounds_give_the_weights_towards_the_target():
    _, log_q, log_p = normal_samples()
    step = trust_region_step(log_p, log_q, 100.0, 100.0)
    assert step.multipliers == (0.0, 0.0)
    torch.testing.assert_close(step.log_weights, log_p - log_q)


def test_clashes_have_no_weight_but_count_as_samples():
    _, log_q, log_p = normal_samples()
    half = torch.arange(N) % 2 == 0
    step = trust_region_step(torch.where(half, log_p, torch.nan), log_q, 100.0, 100.0)
    whole = trust_region_step(log_p, log_q, 100.0, 100.0)
    assert bool((step.log_weights[~half] == -math.inf).all())
    assert step.divergence == pytest.approx(whole.divergence + math.log(2.0), abs=0.03)
    with pytest.raises(InputError, match="finite energy"):
        trust_region_step(torch.full_like(log_p, torch.nan), log_q, 1.0, 1.0)


@pytest.mark.parametrize("beta", [0.25, 1.0])
def test_weights_of_model_samples_have_the_mean_of_the_partition_function(beta):
    torch.manual_seed(0)
    model, target = FlowModel(ToyCoordinates(2, 1), SMALL).double(), TorusAndGaussian(2, 1, kappa=1.0)
    samples = model_samples(model, target, 9000, torch.Generator().manual_seed(0))
    assert target.evaluations == 9000
    estimate = log_mean_weight(samples.log_weights(beta))
    log_z = 2 * math.log(math.tau * np.i0(beta)) + math.log(0.5 * math.sqrt(math.tau / beta))
    assert abs(estimate.value - log_z) < 4 * estimate.stderr
    assert estimate.stderr < 0.03


def test_resampled_frames_are_equally_weighted():
    x, log_q, log_p = normal_samples()
    frames = resampled(Internal(x[:, None], x[:, None]), log_p - log_q, torch.Generator().manual_seed(1))
    assert float(frames.stiff.mean()) == pytest.approx(1.0, abs=0.02)
    assert float(frames.stiff.var()) == pytest.approx(0.25, abs=0.01)
    assert torch.equal(frames.torsions, frames.stiff)


@pytest.mark.parametrize("share", [0.6, 0.9])
def test_tempered_weights_stand_for_the_geometric_mean_of_the_densities(share):
    """q^(1−α) p^α of two normal densities is normal, and so is known how effective its weights are."""
    x, log_q, log_p = normal_samples()
    log_weights = log_p - log_q
    found = tempered(log_weights, share)
    alpha = float(found[0] / log_weights[0])
    assert 0 < alpha < 1
    assert effective_sample_size(found) / N == pytest.approx(share, abs=1e-4)
    precision = 0.25 * (1 - alpha) + 4.0 * alpha
    weights = torch.softmax(found, 0)
    mean = float((weights * x).sum())
    assert mean == pytest.approx(4.0 * alpha / precision, abs=0.03)
    assert float((weights * (x - mean) ** 2).sum()) == pytest.approx(1 / precision, abs=0.05)


def test_even_weights_are_not_tempered_and_impossible_samples_keep_none():
    even = torch.tensor([0.0, 0.1, -0.1, 0.0], dtype=torch.float64)
    assert torch.equal(tempered(even, 0.5), even)
    lost = torch.tensor([3.0, 1.0, -math.inf, -math.inf, -math.inf], dtype=torch.float64)
    weights = torch.softmax(tempered(lost, 0.5), 0)
    assert weights.tolist() == pytest.approx([0.5, 0.5, 0.0, 0.0, 0.0], abs=1e-6)
