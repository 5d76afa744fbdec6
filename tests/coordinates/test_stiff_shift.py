"""The linear map between two levels: exact for Gaussians, and the same molecule geometry when applied."""

import copy
import math

import numpy as np
import pytest
import torch

import boltzgen
from boltzgen.coordinates.base import MixtureBlock, StiffBase
from boltzgen.coordinates.build import build_coordinates
from boltzgen.coordinates.stiff_shift import StiffMap, basins_of, fit_basins, fit_stiff_map


def gaussians(d, generator):
    """Mean and covariance of one, and of another that is much alike."""
    first = torch.eye(d).double() + 0.3 * torch.randn(d, d, generator=generator).double()
    covariance = first @ first.T
    mean = torch.randn(d, generator=generator).double()
    change = 0.1 * torch.randn(d, d, generator=generator).double()
    other = torch.linalg.inv(torch.linalg.inv(covariance) + change @ change.T)
    return mean, covariance, mean + 0.3 * torch.randn(d, generator=generator).double(), other


def test_one_gaussian_is_mapped_to_another():
    generator = torch.Generator().manual_seed(3)
    mean, covariance, wanted_mean, wanted = gaussians(7, generator)
    y = mean + torch.randn(20_000, 7, generator=generator).double() @ torch.linalg.cholesky(covariance).T
    slopes = (y - wanted_mean) @ torch.linalg.inv(wanted) - (y - mean) @ torch.linalg.inv(covariance)
    found = fit_stiff_map(y, slopes, StiffBase(7))
    torch.testing.assert_close(found.offset + found.factor @ mean, wanted_mean, atol=0.03, rtol=0)
    torch.testing.assert_close(found.factor @ covariance @ found.factor.T, wanted, atol=0.03, rtol=0.03)
    assert bool((found.factor.triu(1) == 0).all())


def test_each_basin_is_moved_by_its_own_slopes_and_a_rare_one_by_those_of_all():
    """Three puckers, of which the last is never seen; a third coordinate has one basin."""
    generator = torch.Generator().manual_seed(0)
    block = MixtureBlock([0, 1], 3)
    old = torch.tensor([[-6.0, 0.0], [6.0, 1.0], [0.0, 30.0]]).double()
    block.set(torch.tensor([0.4, 0.6, 0.0]), old, torch.eye(2).double().repeat(3, 1, 1))
    base = StiffBase(3, [block])
    y = base.double().sample(20_000, generator)
    right = (y[:, 0] > 0).long()
    wanted = old + torch.tensor([[0.4, 0.0], [0.2, -0.5], [0.0, 0.0]]).double()
    precision = torch.diag(torch.tensor([1.3, 0.8]).double())
    slopes = torch.zeros_like(y)
    slopes[:, :2] = (y[:, :2] - wanted[right]) @ precision - (y[:, :2] - old[right])
    slopes[:, 2] = 4.0 * (y[:, 2] - 0.5) - y[:, 2]

    stiff = fit_stiff_map(y, slopes, base)
    moved = stiff.offset + y @ stiff.factor.T
    torch.testing.assert_close(moved[:, :2], y[:, :2])
    assert float(moved[:, 2].mean()) == pytest.approx(0.5, abs=0.02)
    assert float(moved[:, 2].std()) == pytest.approx(0.5, abs=0.02)

    found = fit_basins(block, y[:, :2], slopes[:, :2])
    torch.testing.assert_close(found.means[:2], wanted[:2], atol=0.02, rtol=0)
    covariance = found.factors @ found.factors.mT
    torch.testing.assert_close(covariance, torch.linalg.inv(precision).expand(3, 2, 2), atol=0.03, rtol=0)
    shift = (found.means - old)[2]  # of all samples
    assert float((shift - (0.4 * (wanted - old)[0] + 0.6 * (wanted - old)[1])).abs().max()) < 0.02

    basins = basins_of(block, y[:, :2])
    assert bool((basins == right).all())
    there, volume = found.move(y[:, :2], basins)
    torch.testing.assert_close(there[right == 1].mean(0), wanted[1], atol=0.03, rtol=0)
    assert float((volume + 0.5 * math.log(1.04)).abs().max()) < 0.02
    found.apply()
    torch.testing.assert_close(block.means, found.means)
    torch.testing.assert_close(block.log_weights.exp()[:2], torch.tensor([0.4, 0.6]).double())


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
