"""Refinement of an untrained flow on a target whose Z is known in closed form."""

import math

import numpy as np
import pytest
import torch

from boltzgen.errors import InputError, NotConvergedError
from boltzgen.models.flow import FlowConfig, FlowModel
from boltzgen.refinement import refine as refinement
from boltzgen.refinement.refine import CHUNK, refine
from boltzgen.sampling.importance import effective_sample_size, weighted_mean
from tests.models.toy_coordinates import ToyCoordinates

SCALE = 0.6
N_TORSIONS, N_STIFF = 2, 4
SECONDS_EACH = 4e-3


class ToyTarget:
    """Torsions about the seam of the circle, stiff coordinates about a shifted minimum."""

    def __init__(self, kappa: float, shift: float) -> None:
        self.evaluations, self.kappa, self.shift = 0, kappa, shift
        self.log_Z = N_TORSIONS * math.log(2 * math.pi * np.i0(kappa))
        self.log_Z += N_STIFF * math.log(SCALE * math.sqrt(2 * math.pi))

    def reduced_energy(self, x):
        self.evaluations += len(x)
        torsions, stiff = x.flatten(1)[:, :N_TORSIONS], x.flatten(1)[:, N_TORSIONS:]
        well = 0.5 * ((stiff - self.shift) / SCALE).square().sum(dim=1)
        return self.kappa * torch.cos(torsions).sum(dim=1) + well


@pytest.fixture
def model():
    torch.manual_seed(0)
    config = FlowConfig(torsion_couplings=2, torsion_hidden=8, stiff_couplings=2, stiff_hidden=8)
    return FlowModel(ToyCoordinates(N_TORSIONS, N_STIFF), config).double()


@pytest.fixture
def clock(monkeypatch):
    """Makes time pass by evaluations of a target alone, ``SECONDS_EACH`` for one."""

    def follow(target: ToyTarget) -> None:
        for module in ("refine", "particles"):
            name = f"boltzgen.refinement.{module}.monotonic"
            monkeypatch.setattr(name, lambda: SECONDS_EACH * target.evaluations)

    return follow


def require_right(refined, target):
    """log Z, a mean and the bookkeeping of refined samples."""
    found = refined.statistics.log_z
    assert abs(found.value - target.log_Z) < 4 * found.stderr
    stiff = weighted_mean(refined.positions.flatten(1)[:, -1], refined.log_weights)
    assert abs(stiff.value - target.shift) < 4 * stiff.stderr
    torch.testing.assert_close(target.reduced_energy(refined.positions), refined.reduced_energies)
    share = effective_sample_size(refined.log_weights) / len(refined.log_weights)
    assert refined.info.share_after == pytest.approx(share)
    mean = float(torch.logsumexp(refined.log_weights, 0)) - math.log(len(refined.log_weights))
    assert mean == pytest.approx(found.value, abs=1e-9)


def test_a_fair_model_is_thinned_to_the_share_asked_for(model, clock):
    """Some proposals for each sample are cheaper than a stage of annealing."""
    target, generator = ToyTarget(1.0, 0.3), torch.Generator().manual_seed(1)
    clock(target)
    before = [parameter.requires_grad for parameter in model.parameters()]
    refined = refine(model, target, 600, generator, seconds=100.0)
    assert refined.info.stages == 0
    assert refined.info.proposals > 3 * 600
    assert refined.info.share_before < 0.3
    assert refined.info.share_after > 0.5
    assert refined.info.evaluations == target.evaluations
    assert refined.statistics.log_z.stderr < 0.1
    require_right(refined, target)
    assert before == [parameter.requires_grad for parameter in model.parameters()]


def test_a_poor_model_is_annealed(model, clock):
    target, generator = ToyTarget(2.0, 1.5), torch.Generator().manual_seed(2)
    clock(target)
    refined = refine(model, target, 1000, generator, seconds=400.0)
    assert refined.info.stages > 1
    assert 0.3 < refined.info.acceptance < 1.0
    assert refined.info.share_before < 0.02
    assert refined.info.share_after > 20 * refined.info.share_before
    require_right(refined, target)


def test_what_is_good_enough_is_left_as_it_is(model, clock):
    target, generator = ToyTarget(1.0, 0.3), torch.Generator().manual_seed(3)
    clock(target)
    refined = refine(model, target, 2000, generator, target_share=1e-3, seconds=1e3)
    assert (refined.info.stages, refined.info.proposals) == (0, 2000)
    x, u = refined.positions, refined.reduced_energies
    torch.testing.assert_close(refined.log_weights, -u - model.log_prob(x), atol=1e-6, rtol=0)


@pytest.mark.parametrize("shift", [0.5, 1.5, 4.0])
@pytest.mark.parametrize("seconds", [10.0, 50.0])
def test_time_is_bounded_and_weights_are_right_however_little_there_is(model, clock, shift, seconds):
    target, generator = ToyTarget(2.0, shift), torch.Generator().manual_seed(4)
    clock(target)
    refined = refine(model, target, 500, generator, target_share=0.9, seconds=seconds)
    assert refined.info.seconds < 1.1 * seconds + CHUNK * SECONDS_EACH
    assert len(refined.positions) == 500
    if shift == 0.5:  # else nothing can be right in so little time, and the weights' tail says so
        require_right(refined, target)


def test_samples_outside_the_coordinates_have_no_weight(model, clock, monkeypatch):
    """Half the space is denied: Z is half of what it was by the symmetry of the target's torsions."""
    monkeypatch.setattr(ToyCoordinates, "contains", lambda self, x: x.flatten(1)[:, 0] > 0)
    target, generator = ToyTarget(1.0, 0.3), torch.Generator().manual_seed(5)
    clock(target)
    refined = refine(model, target, 600, generator, seconds=100.0)
    weightless = ~torch.isfinite(refined.log_weights)
    assert torch.equal(weightless, refined.positions.flatten(1)[:, 0] <= 0)
    assert torch.isinf(refined.reduced_energies[weightless]).all()
    found = refined.statistics.log_z
    assert abs(found.value - (target.log_Z - math.log(2))) < 4 * found.stderr


@pytest.mark.parametrize(("n", "share", "seconds"), [(0, 0.5, 1.0), (10, 1.0, 1.0), (10, 0.5, 0.0)])
def test_bad_settings_are_refused(model, n, share, seconds):
    with pytest.raises(InputError, match="at least one sample"):
        refine(model, ToyTarget(1.0, 0.0), n, torch.Generator(), share, seconds)


def test_a_model_without_any_weight_is_told(model, monkeypatch):
    monkeypatch.setattr(ToyCoordinates, "contains", lambda self, x: torch.zeros(len(x), dtype=torch.bool))
    with pytest.raises(NotConvergedError, match="learnt nothing"):
        refine(model, ToyTarget(1.0, 0.3), 50, torch.Generator().manual_seed(6), seconds=1e-3)


def test_a_plan_from_a_pilot_that_saw_no_tail_goes_on_until_the_share_is_reached(model, clock, monkeypatch):
    """A pilot that believes every sample equally good plans no more proposals than samples."""
    target, generator = ToyTarget(1.0, 0.3), torch.Generator().manual_seed(7)
    clock(target)
    monkeypatch.setattr("boltzgen.refinement.refine.Pilot.ratio_for", lambda self, share: 1.0)
    monkeypatch.setattr("boltzgen.refinement.refine.CHUNK", 500)
    refined = refine(model, target, 600, generator, seconds=1e4)
    assert refined.info.proposals > 600
    assert refined.info.share_after >= 0.5
    assert refined.info.seconds < 1e3  # it stops once the share is there
    require_right(refined, target)


def test_proposals_go_on_until_they_are_worth_what_is_asked_for(model, clock):
    """log Z of all proposals has about the error 1/√n that n effective ones have."""
    target, generator = ToyTarget(1.0, 0.3), torch.Generator().manual_seed(8)
    clock(target)
    refined = refine(model, target, 600, generator, seconds=1e4, least_effective=4000.0)
    assert refined.info.seconds < 1e3
    assert 0.012 < refined.statistics.log_z.stderr < 1.0 / math.sqrt(4000.0)
    require_right(refined, target)


class LogNormal:
    """Particles whose weights are log-normal, mean one: the variance of the logarithm is ``variance``."""

    def __init__(self, variance: float) -> None:
        self.variance, self.densities = variance, self

    def sample(self, n, generator):
        return torch.zeros(n, 1)

    def draw(self, n, generator):
        normal = torch.randn(n, generator=generator, dtype=torch.float64)
        return torch.zeros(n, 1), math.sqrt(self.variance) * normal - 0.5 * self.variance


def test_proposals_that_go_on_until_there_are_enough_leave_the_mean_weight_as_it_is(monkeypatch):
    """The number of proposals depends on their weights, and yet the mean is right within its error."""
    monkeypatch.setattr(refinement, "CHUNK", 256)
    generator = torch.Generator().manual_seed(11)
    means, numbers = [], []
    for _ in range(60):
        _, thinned, every = refinement._thinned(
            LogNormal(3.0), 300, 2000.0, 0.5, 150.0, generator, math.inf, lambda done: None
        )
        means.append(float(every.exp().mean()))
        numbers.append(len(every))
        assert float(thinned.exp().sum()) / 300 == pytest.approx(means[-1], rel=1e-6)
    assert min(numbers) < max(numbers)
    spread = float(np.std(means)) / math.sqrt(len(means))
    assert abs(float(np.mean(means)) - 1.0) < 4.0 * spread + 0.02
