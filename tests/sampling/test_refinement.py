"""Refinement of an untrained flow on a target whose Z is known in closed form."""

import math

import numpy as np
import pytest
import torch

from boltzgen.errors import InputError
from boltzgen.models.flow import FlowConfig, FlowModel
from boltzgen.sampling.importance import effective_sample_size, log_mean_weight, weighted_mean
from boltzgen.sampling.refinement import refine
from tests.models.toy_coordinates import ToyCoordinates

KAPPA, SHIFT, SCALE = 4.0, 1.0, 0.6
N_TORSIONS, N_STIFF = 2, 4
LOG_Z = N_TORSIONS * math.log(2 * math.pi * np.i0(KAPPA)) + N_STIFF * math.log(SCALE * math.sqrt(2 * math.pi))


class ToyTarget:
    """Torsions about the seam of the circle, stiff coordinates about a shifted minimum."""

    def __init__(self):
        self.evaluations = 0

    def reduced_energy(self, x):
        self.evaluations += len(x)
        torsions, stiff = x.flatten(1)[:, :N_TORSIONS], x.flatten(1)[:, N_TORSIONS:]
        well = 0.5 * ((stiff - SHIFT) / SCALE).square().sum(dim=1)
        return KAPPA * torch.cos(torsions).sum(dim=1) + well


@pytest.fixture
def model():
    torch.manual_seed(0)
    config = FlowConfig(torsion_couplings=2, torsion_hidden=8, stiff_couplings=2, stiff_hidden=8)
    return FlowModel(ToyCoordinates(N_TORSIONS, N_STIFF), config).double()


def test_a_poor_model_is_refined_to_the_share_asked_for(model):
    target, generator = ToyTarget(), torch.Generator().manual_seed(1)
    before = [parameter.requires_grad for parameter in model.parameters()]
    refined = refine(model, target, 1500, generator, target_share=0.5)
    share = effective_sample_size(refined.log_weights) / 1500
    assert refined.schedule
    assert share > 0.4
    assert share == pytest.approx(refined.expected_share, abs=0.15)
    log_z = log_mean_weight(refined.log_weights)
    assert abs(log_z.value - LOG_Z) < 4 * log_z.stderr
    assert log_z.stderr < 0.07
    stiff = weighted_mean(refined.positions.flatten(1)[:, -1], refined.log_weights)
    assert abs(stiff.value - SHIFT) < 4 * stiff.stderr
    torch.testing.assert_close(target.reduced_energy(refined.positions), refined.reduced_energies)
    torch.testing.assert_close(-refined.reduced_energies - refined.log_prob, refined.log_weights)
    assert before == [parameter.requires_grad for parameter in model.parameters()]
    assert target.evaluations > 1500 * 3 * len(refined.schedule)


def test_what_is_good_enough_is_left_as_it_is(model, monkeypatch):
    target, generator = ToyTarget(), torch.Generator().manual_seed(2)
    monkeypatch.setattr("boltzgen.sampling.refinement.MOST_PARETO_K", math.inf)
    refined = refine(model, target, 2000, generator, target_share=1e-3)
    assert refined.schedule == ()
    x, u = refined.positions, refined.reduced_energies
    torch.testing.assert_close(refined.log_weights, -u - model.log_prob(x), atol=1e-6, rtol=0)


def test_evaluations_are_bounded(model):
    target, generator = ToyTarget(), torch.Generator().manual_seed(3)
    refined = refine(model, target, 100, generator, target_share=0.99, most_evaluations=20.0)
    assert 1 + 3 * len(refined.schedule) <= 20


def test_bad_settings_are_refused(model):
    with pytest.raises(InputError, match="at least one sample"):
        refine(model, ToyTarget(), 0, torch.Generator())
