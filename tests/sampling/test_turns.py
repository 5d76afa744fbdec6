"""Turns about bonds against quadrature: alone they sample the torsions' Boltzmann distribution."""

import math

import numpy as np
import torch
from rdkit import Chem

from boltzgen.molecules.molecule import Molecule
from boltzgen.molecules.torsions import turning_bonds
from boltzgen.sampling.dynamics import Langevin
from boltzgen.sampling.turns import BondTurns

WALKERS = 4000


def dihedral(x, atoms):
    """Torsions [batch] by atan2, of positions [batch, atoms, 3]."""
    a, b, c, d = (x[:, i] for i in atoms)
    axis = torch.nn.functional.normalize(c - b, dim=-1)
    first, last = torch.linalg.cross(b - a, axis), torch.linalg.cross(axis, d - c)
    sine = (torch.linalg.cross(first, last) * axis).sum(-1)
    return torch.atan2(-sine, -(first * last).sum(-1))


def potential(first, second):
    """kT: wells behind barriers of 24 kT, unequally deep, and coupled."""
    return (
        12.0 * (1 + torch.cos(2 * first))
        + torch.cos(first)
        + torch.cos(2 * second)
        + torch.cos(first - second)
    )


class TwoTorsions:
    kT = 2.5

    def reduced_energy_and_gradient(self, x):
        u = potential(dihedral(x, (0, 1, 2, 3)), dihedral(x, (1, 2, 3, 4)))
        return u, torch.zeros_like(x)


def test_turns_alone_sample_torsions_behind_barriers():
    generator = torch.Generator().manual_seed(0)
    turns = BondTurns(
        torch.tensor([[1, 2], [3, 2]]),
        torch.tensor([[False, False, False, True, True], [True, True, False, False, False]]),
    )
    start = torch.tensor(
        [[0.0, 0.1, 0.0], [0, 0, 0], [0.15, 0, 0], [0.2, 0.14, 0], [0.25, 0.14, 0.13]], dtype=torch.float64
    )
    kernel = Langevin(TwoTorsions(), torch.full((5,), 12.0), 0.001, 1.0)
    state = before = kernel.init(start.repeat(WALKERS, 1, 1), generator)
    for _ in range(150):
        state, accepted = turns.attempt(kernel, state, generator)
    x = state.public_positions
    assert 0.02 < float(accepted.double().mean()) < 0.9

    def lengths(x):
        return torch.stack(
            [torch.cdist(x, x)[:, i, j] for i in range(5) for j in range(i + 1, min(i + 3, 5))]
        )

    torch.testing.assert_close(lengths(x), lengths(before.public_positions), rtol=0, atol=1e-12)
    grid = torch.linspace(-math.pi, math.pi, 1801, dtype=torch.float64)[:-1]
    weight = torch.exp(-potential(grid[:, None], grid[None]))
    weight = weight / weight.sum()
    first, second = dihedral(x, (0, 1, 2, 3)), dihedral(x, (1, 2, 3, 4))
    for mine, exact in (
        (torch.cos(first), (weight * torch.cos(grid)[:, None]).sum()),
        (torch.sin(second).square(), (weight * torch.sin(grid).square()).sum()),
        (torch.sin(first) * torch.sin(second), (weight * torch.sin(grid)[:, None] * torch.sin(grid)).sum()),
    ):
        assert abs(float(mine.mean() - exact)) < 4 * float(mine.std()) / math.sqrt(WALKERS)


def test_a_turn_into_a_clash_is_refused():
    class Clash(TwoTorsions):
        def reduced_energy_and_gradient(self, x):
            u, gradient = super().reduced_energy_and_gradient(x)
            return torch.where(dihedral(x, (0, 1, 2, 3)) > 0, torch.nan, u), gradient

    turns = BondTurns(torch.tensor([[1, 2]]), torch.tensor([[False, False, False, True, True]]))
    start = torch.tensor([[0.0, 0.1, 0], [0, 0, 0], [0.15, 0, 0], [0.2, 0.1, 0.1], [0.3, 0.1, 0.1]])
    start = start * torch.tensor([1.0, 1.0, -1.0 if dihedral(start[None], (0, 1, 2, 3)) > 0 else 1.0])
    kernel = Langevin(Clash(), torch.full((5,), 12.0), 0.001, 1.0)
    generator = torch.Generator().manual_seed(1)
    state = kernel.init(start.repeat(50, 1, 1), generator)
    for _ in range(20):
        state, _ = turns.attempt(kernel, state, generator)
    assert bool((dihedral(state.public_positions, (0, 1, 2, 3)) <= 0).all())
    assert bool(torch.isfinite(state.energy).all())


def test_bonds_that_turn_are_those_that_separate_conformers():
    molecule = Molecule.from_smiles("CC(=O)NCc1ccccc1")
    axes, beyond = turning_bonds(molecule)
    heavy = {frozenset(axis) for axis in axes.tolist()}
    assert heavy == {frozenset(pair) for pair in ((1, 3), (3, 4), (4, 5))}
    for (inner, outer), atoms in zip(axes, beyond, strict=True):
        assert atoms[outer]
        assert not atoms[inner]
        assert atoms.sum() <= molecule.n_atoms / 2
        cut = Chem.FragmentOnBonds(
            molecule.rdmol,
            [molecule.rdmol.GetBondBetweenAtoms(int(inner), int(outer)).GetIdx()],
            addDummies=False,
        )
        fragments = Chem.GetMolFrags(cut)
        assert tuple(np.flatnonzero(atoms)) in fragments
    water = BondTurns.of(Molecule.from_smiles("O"))
    assert water.axes.shape == (0, 2)
    assert water.beyond.shape == (0, 3)
