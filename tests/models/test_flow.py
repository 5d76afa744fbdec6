"""The flow model as a whole: densities are normalised and agree both ways."""

import math

import pytest
import torch

from boltzgen.models.flow import FlowConfig, FlowModel
from boltzgen.models.model import Internal
from tests.coordinates.frames import coordinates, frames
from tests.models.toy_coordinates import ToyCoordinates

SMALL = FlowConfig(torsion_couplings=2, torsion_hidden=16, stiff_couplings=2, stiff_hidden=16)


def perturbed_model(n_torsions: int, n_stiff: int) -> FlowModel:
    torch.manual_seed(0)
    model = FlowModel(ToyCoordinates(n_torsions, n_stiff), SMALL).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def test_sampled_log_prob_equals_evaluated_log_prob():
    model = perturbed_model(3, 6)
    x, log_q = model.sample_with_log_prob(300, torch.Generator().manual_seed(1))
    torch.testing.assert_close(model.log_prob(x), log_q, atol=1e-6, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("name", ["butane", "isoleucine"])
def test_both_densities_of_a_molecule_with_symmetric_rotors_agree(name):
    """ln q counts all labelled images of a sample, and so does the density of each image."""
    coords = coordinates(name)
    assert coords.multiplicity > 1
    model = FlowModel(coords, SMALL).double()
    x, log_q = model.sample_with_log_prob(200, torch.Generator().manual_seed(1))
    inside = coords.contains(x)
    assert inside.double().mean() > 0.9
    torch.testing.assert_close(model.log_prob(x)[inside], log_q[inside], atol=1e-6, rtol=0)


def test_density_integrates_to_one_by_quadrature():
    """One torsion and two stiff coordinates on a grid: no importance sampling, no shared code."""
    model = perturbed_model(1, 2)
    angles = torch.arange(40, dtype=torch.float64) / 40 * 2 * math.pi - math.pi
    line = torch.linspace(-12, 12, 121, dtype=torch.float64)
    grid = torch.cartesian_prod(angles, line, line)
    with torch.no_grad():
        log_q = model.internal_log_prob(Internal(grid[:, :1], grid[:, 1:]))
    volume = (2 * math.pi / 40) * (line[1] - line[0]) ** 2
    assert abs(float(log_q.exp().sum() * volume) - 1) < 2e-3


def test_a_seed_repeats_a_sample():
    model = perturbed_model(2, 4)
    first, again = (model.sample_with_log_prob(10, torch.Generator().manual_seed(4))[0] for _ in range(2))
    assert torch.equal(first, again)


@torch.no_grad()
@pytest.mark.parametrize("name", ["beta-glucose", "isoleucine", "penicillin-G"])
def test_another_stereoisomer_has_no_density_and_another_labelling_the_same(name):
    coords = coordinates(name)
    model = FlowModel(coords, SMALL).double()
    x = frames(name)[::10]
    log_q = model.log_prob(x)
    assert log_q.isfinite().all()
    assert (model.log_prob(x * torch.tensor([1.0, 1.0, -1.0])) == -math.inf).all()
    images = coords.randomise_labels(coords.canonicalise(x), torch.Generator().manual_seed(0))
    torch.testing.assert_close(model.log_prob(images), log_q, atol=1e-6, rtol=0)


def test_widths_grow_with_the_molecule_and_are_told():
    small, large = (FlowModel(ToyCoordinates(*size)).config for size in ((3, 30), (15, 105)))
    assert (small.torsion_hidden, small.stiff_hidden) == (64, 128)
    assert (large.torsion_hidden, large.stiff_hidden) == (128, 224)
    chosen = FlowModel(ToyCoordinates(15, 105), FlowConfig(stiff_hidden=40))
    assert chosen.config.stiff_hidden == 40
    assert {layer.conditioner.first.out_features for layer in chosen.layers[-3:-2]} == {40}
