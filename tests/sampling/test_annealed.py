"""Annealing against Gaussians and a bimodal target of known Z."""

import math

import numpy as np
import pytest
import torch

from boltzgen.errors import InputError
from boltzgen.sampling.annealed import Annealing, AnnealingStage
from boltzgen.sampling.importance import effective_sample_size, log_mean_weight, weighted_mean

DIM = 4
SHIFT = 1.2
SCALE = 0.6
LOG_Z = DIM * (math.log(SCALE) + 0.5 * math.log(2 * math.pi)) + 3.0


def log_normal(z):
    return -0.5 * z.square().sum(dim=1) - 0.5 * z.shape[1] * math.log(2 * math.pi)


def shifted_gaussian(z):
    """N(0, 1) to an unnormalised N(1.2, 0.6²) with the constant e³."""
    return log_normal(z), -0.5 * ((z - SHIFT) / SCALE).square().sum(dim=1) + 3.0


def start(n, seed, dim=DIM):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, dim, generator=generator, dtype=torch.float64), generator


def planned(method, seed=0, stage_loss=0.02):
    z, generator = start(500, seed)
    return method.plan(z, stage_loss, generator)


def test_log_z_and_means_have_honest_errors():
    """Over 60 runs the pulls of log Z and of ⟨z⟩ have unit width; importance sampling has no chance."""
    method = Annealing(shifted_gaussian)
    schedule = planned(method)
    pulls = []
    for seed in range(60):
        z, generator = start(400, seed + 100)
        assert seed or effective_sample_size(method.run(z, [], generator).log_weights) < 40
        state = method.run(z, schedule, generator)
        assert torch.equal(state.ancestor, torch.arange(400))
        log_z, mean = log_mean_weight(state.log_weights), weighted_mean(state.z[:, 0], state.log_weights)
        assert effective_sample_size(state.log_weights) > 160
        pulls.append([(log_z.value - LOG_Z) / log_z.stderr, (mean.value - SHIFT) / mean.stderr])
    pulls = np.array(pulls)
    assert np.all(np.abs(pulls.mean(axis=0)) < 4 / math.sqrt(60))
    assert np.all(np.abs(pulls.std(axis=0) - 1) < 0.4)


def test_mean_weight_is_z_without_bias_however_coarse_the_schedule():
    method = Annealing(shifted_gaussian, n_leapfrog=2)
    schedule = [AnnealingStage(0.05, 0.3), AnnealingStage(0.2, 0.3), AnnealingStage(0.5, 0.3)]
    z, generator = start(60_000, 1)
    ratio = (method.run(z, schedule, generator).log_weights - LOG_Z).exp()
    error = ratio.std() / math.sqrt(len(ratio))
    assert abs(ratio.mean() - 1) < 4 * error
    assert error < 0.1


@pytest.mark.parametrize("resample_below", [0.0, 0.6])
def test_resampling_keeps_the_mean_weight(resample_below):
    method = Annealing(shifted_gaussian, resample_below=resample_below)
    schedule = planned(Annealing(shifted_gaussian), stage_loss=0.3)
    ratios = []
    for seed in range(60):
        z, generator = start(300, seed + 500)
        state = method.run(z, schedule, generator)
        ratios.append(math.exp(log_mean_weight(state.log_weights).value - LOG_Z))
        assert (len(state.ancestor.unique()) < 300) == (resample_below > 0)
    assert abs(np.mean(ratios) - 1) < 4 * np.std(ratios) / math.sqrt(60)
    assert np.std(ratios) / math.sqrt(60) < 0.05


def test_the_moves_leave_their_density_unchanged():
    """At fixed β = 1 from exact samples of the target, second and fourth moments stay."""
    method = Annealing(shifted_gaussian, n_leapfrog=3)
    z, generator = start(40_000, 3, dim=2)
    state = method.init(SHIFT + SCALE * z)
    for _ in range(5):
        state, info = method.step(state, AnnealingStage(1.0, 0.6), generator)
        assert 0.5 < info.acceptance < 0.99
    scaled = (state.z - SHIFT) / SCALE
    assert scaled.mean().item() == pytest.approx(0, abs=4 / math.sqrt(80_000))
    assert scaled.square().mean().item() == pytest.approx(1, abs=4 * math.sqrt(2 / 80_000))
    assert scaled.pow(4).mean().item() == pytest.approx(3, abs=4 * math.sqrt(96 / 80_000))


def test_a_circle_is_annealed_through_its_seam():
    """From uniform to a von Mises density centred on the seam: Z = 2π I₀(κ)."""
    kappa = 6.0

    def densities(z):
        return torch.full_like(z[:, 0], -math.log(2 * math.pi)) + 0 * z[:, 0], kappa * torch.cos(
            z[:, 0] - math.pi
        )

    def wrap(z):
        return torch.remainder(z + math.pi, 2 * math.pi) - math.pi

    method = Annealing(densities, wrap=wrap)
    generator = torch.Generator().manual_seed(4)
    z = (2 * torch.rand(4000, 1, generator=generator, dtype=torch.float64) - 1) * math.pi
    schedule = method.plan(z[:500], 0.02, generator)
    state = method.run(z[500:], schedule, generator)
    assert state.z.abs().max() <= math.pi
    found = log_mean_weight(state.log_weights)
    assert abs(found.value - math.log(2 * math.pi * np.i0(kappa))) < 4 * found.stderr
    assert found.stderr < 0.03
    right = weighted_mean((state.z[:, 0] > 0).double(), state.log_weights)
    assert abs(right.value - 0.5) < 4 * right.stderr


def test_a_finer_plan_keeps_more_effective_particles():
    method = Annealing(shifted_gaussian)
    shares, sizes = [], []
    for stage_loss in (0.5, 0.02):
        z, generator = start(1000, 7)
        schedule = method.plan(z, stage_loss, generator)
        state = method.run(start(1000, 8)[0], schedule, generator)
        sizes.append(len(schedule))
        shares.append(effective_sample_size(state.log_weights) / 1000)
        assert [stage.beta for stage in schedule] == sorted(stage.beta for stage in schedule)
        assert method.evaluations_per_particle(schedule) == 1 + 3 * len(schedule)
    assert sizes[1] > sizes[0]
    assert shares[1] > shares[0]
    assert shares[1] > 0.6


def test_samples_without_density_stay_without_weight_and_do_no_harm():
    """A hard wall: p̃ = 0 for z₀ > 1 as +inf energy and as NaN; Z of the rest is known."""

    def densities(z):
        bad = torch.where(z[:, 1] > 0, -math.inf, math.nan)
        return log_normal(z), torch.where(z[:, 0] > 1, bad, log_normal(z) + 1.0)

    z, generator = start(20_000, 8, dim=2)
    method = Annealing(densities)
    state = method.run(z, [AnnealingStage(0.3, 0.3), AnnealingStage(0.7, 0.3)], generator)
    found = log_mean_weight(state.log_weights)
    exact = 1.0 + math.log(0.5 * (1 + math.erf(1 / math.sqrt(2))))
    assert abs(found.value - exact) < 4 * found.stderr
    assert not torch.isnan(state.log_weights).any()


def test_bad_settings_are_refused():
    with pytest.raises(InputError):
        Annealing(shifted_gaussian, n_leapfrog=0)
    with pytest.raises(InputError):
        Annealing(shifted_gaussian).plan(torch.zeros(2, 2), 1.5)
