"""Which exchanges of equivalent atoms an energy keeps, against OpenMM's energies of the exchanged atoms."""

import itertools

import numpy as np
import openmm
import pytest
import torch
from rdkit import Chem

from boltzgen.energies.compiler import compile_system
from boltzgen.energies.symmetry import energy_symmetry
from boltzgen.energies.target import BoltzmannTarget
from boltzgen.molecules.symmetry import MolecularGraph
from boltzgen.systems import load_system
from boltzgen.units import thermal_energy

TEMPERATURE = 300.0


def symmetry_and_frames(name):
    """The symmetry that the energy of a system keeps, the system, and frames [n, atoms, 3] nm float64."""
    system = load_system(name)
    x = np.repeat(system.molecule.seed_conformers(2), 8, 0)
    x = x + 0.004 * np.random.default_rng(0).standard_normal(x.shape)
    target = BoltzmannTarget(compile_system(system.system), TEMPERATURE)
    graph = MolecularGraph.from_rdmol(system.molecule.rdmol)
    return energy_symmetry(graph, target, torch.as_tensor(x)), system, x


def openmm_energies(system, frames):
    """In kT."""
    context = openmm.Context(
        system.system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference")
    )
    energies = []
    for x in frames:
        context.setPositions(x)
        energies.append(context.getState(getEnergy=True).getPotentialEnergy()._value)
    return np.array(energies) / thermal_energy(TEMPERATURE)


def atom_names(system, atoms):
    return [system.molecule.rdmol.GetAtomWithIdx(a).GetPDBResidueInfo().GetName().strip() for a in atoms]


@pytest.mark.parametrize(
    ("name", "distinguished"),
    [
        ("ACE-ALA-NME", []),
        ("ACE-PHE-NME", [["CD1", "CD2"], ["HD1", "HD2"], ["CE1", "CE2"], ["HE1", "HE2"]]),
        ("ACE-ASP-NME", [["OD1", "OD2"]]),
        ("ACE-ARG-NME", [["NH1", "NH2"], ["HH11", "HH12", "HH21", "HH22"]]),
    ],
)
def test_exchanges_that_are_kept_leave_openmms_energy_and_the_others_do_not(name, distinguished):
    symmetry, system, x = symmetry_and_frames(name)
    assert [atom_names(system, atoms) for atoms in symmetry.distinguished] == distinguished
    assert bool(symmetry.warnings(system.molecule)) == bool(distinguished)
    energies = openmm_energies(system, x)
    graph = MolecularGraph.from_rdmol(system.molecule.rdmol)
    kept = [g for level in graph.marked(symmetry.marks).automorphism_chain() for g in level]
    assert len(kept) > 4
    for permutation in kept:
        exchanged = openmm_energies(system, x[:, permutation])
        assert np.abs(exchanged - energies).max() < 1e-6
    for atoms in symmetry.distinguished:
        for a, b in itertools.combinations(atoms, 2):
            permutation = list(graph.automorphism({a: b}))
            exchanged = openmm_energies(system, x[:, permutation])
            assert np.abs(exchanged - energies).max() > 1e-3


def test_one_atom_told_apart_leaves_the_exchanges_of_the_others():
    """Neopentane with a stronger bond to one carbon: its three other methyl groups stay alike."""
    system = load_system("CC(C)(C)C")
    pattern = Chem.MolFromSmarts("[CX4]([CH3])([CH3])([CH3])[CH3]")
    ((centre, *methyls),) = system.molecule.rdmol.GetSubstructMatches(pattern)
    bond = openmm.HarmonicBondForce()
    bond.addBond(centre, methyls[2], 0.15, 1e4)
    system.system.addForce(bond)
    x = np.repeat(system.molecule.seed_conformers(2), 8, 0)
    x = torch.as_tensor(x + 0.004 * np.random.default_rng(0).standard_normal(x.shape))
    target = BoltzmannTarget(compile_system(system.system), TEMPERATURE)
    graph = MolecularGraph.from_rdmol(system.molecule.rdmol)
    marked = graph.marked(energy_symmetry(graph, target, x).marks)
    order = np.prod([len(level) for level in marked.automorphism_chain()])
    assert order == 6 * 6**4  # three methyl groups exchanged, the hydrogens of each of the four
    unique = {marked.classes[c] for c in methyls if c != methyls[2]}
    assert len(unique) == 1
    assert marked.classes[methyls[2]] not in unique
