"""The linear map between two levels: exact for Gaussians, and the same molecule geometry when applied."""

import copy

import numpy as np
import pytest
import torch

import boltzgen
from boltzgen.coordinates.base import MixtureBlock, StiffBase
from boltzgen.coordinates.build import build_coordinates
from boltzgen.coordinates.stiff_shift import StiffMap, fit_stiff_map


def gaussians(d, generator):
    """Mean and covariance of one, and of another that is much alike."""
    first = torch.eye(d).double() + 0.3 * torch.randn(d, d, generator=generator).double()
    covariance = first @ first.T
    mean = torch.randn(d, generator=generator).double()
    change = 0.1 * torch.randn(d, d, generator=generator).double()
    other = torch.linalg.inv(torch.linalg.inv(covariance) + change @ change.T)
    return mean, covariance, mean + 0.3 * torch.randn(d, generator=generator).double(), other


def test_one_gaussian_is_mapped_to_another_and_a_clash_does_not_matter():
    generator = torch.Generator().manual_seed(3)
    mean, covariance, wanted_mean, wanted = gaussians(7, generator)
    y = mean + torch.randn(20_000, 7, generator=generator).double() @ torch.linalg.cholesky(covariance).T
    slopes = (y - wanted_mean) @ torch.linalg.inv(wanted) - (y - mean) @ torch.linalg.inv(covariance)
    kept = torch.ones(len(y), dtype=torch.bool)
    kept[::50], slopes[::50] = False, 1e9
    found = fit_stiff_map(y, slopes, StiffBase(7), kept)
    torch.testing.assert_close(found.offset + found.factor @ mean, wanted_mean, atol=0.02, rtol=0)
    torch.testing.assert_close(found.factor @ covariance @ found.factor.T, wanted, atol=0.03, rtol=0.03)
    assert bool((found.factor.triu(1) == 0).all())


def test_basins_are_shifted_as_one():
    """Two puckers 12 widths apart, both displaced by 0.4; a third coordinate is moved and narrowed."""
    generator = torch.Generator().manual_seed(0)
    block = MixtureBlock([0, 1], 2)
    centres = torch.tensor([[-6.0, 0.0], [6.0, 1.0]]).double()
    block.set(torch.tensor([0.4, 0.6]), centres, torch.eye(2).double().repeat(2, 1, 1))
    base = StiffBase(3, [block])
    y = base.double().sample(20_000, generator)
    slopes = torch.zeros_like(y)
    slopes[:, 0] = -0.4
    slopes[:, 2] = 4.0 * (y[:, 2] - 0.5) - y[:, 2]
    found = fit_stiff_map(y, slopes, base, torch.ones(len(y), dtype=torch.bool))
    moved = found.offset + y @ found.factor.T
    torch.testing.assert_close(
        moved[:, :2] - y[:, :2], torch.tensor([[0.4, 0.0]]).double().expand(len(y), 2), atol=0.02, rtol=0
    )
    assert float(moved[:, 2].mean()) == pytest.approx(0.5, abs=0.02)
    assert float(moved[:, 2].std()) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("smiles", ["CCO", "C1CCOC1"])
def test_coordinates_take_the_map_in_with_its_determinant(smiles):
    molecule = boltzgen.Molecule.from_smiles(smiles)
    x = molecule.seed_conformers(16, seed=0)
    x = x[:, None] + 0.003 * np.random.default_rng(0).normal(size=(len(x), 8, *x.shape[1:]))
    coordinates = build_coordinates(molecule, x.reshape(-1, *x.shape[2:]), dtype=torch.float64)
    d = coordinates.n_stiff
    factor = (
        torch.eye(d).double() + 0.05 * torch.rand(d, d, generator=torch.Generator().manual_seed(1)).tril()
    )
    inside = coordinates.base.multimodal_indices
    factor[inside], factor[:, inside] = 0.0, 0.0
    factor[inside, inside] = 1.0
    change = StiffMap(torch.linspace(-0.2, 0.2, d).double(), factor)
    mapped = copy.deepcopy(coordinates)
    change.apply(mapped)
    torsions, stiff, _ = coordinates.from_positions(torch.as_tensor(x[:, 0]))
    expected, log_det = coordinates.to_positions(torsions, change.offset + stiff @ factor.T)
    found, new_log_det = mapped.to_positions(torsions, stiff)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(new_log_det, log_det + factor.logdet())
    again = mapped.from_positions(found)
    torch.testing.assert_close(again[1], stiff)
    torch.testing.assert_close(again[2], new_log_det)
