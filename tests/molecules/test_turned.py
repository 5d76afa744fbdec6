"""Seeds on the other side of amides, esters and acids, judged by mdtraj's torsions and OpenMM's energies."""

import mdtraj
import numpy as np
import pytest

from boltzgen.forcefields.mmff import mmff_system
from boltzgen.molecules.molecule import Molecule
from boltzgen.molecules.turned import turnable_torsions
from tests.forcefields.openmm_reference import energies


def far_side(molecule, positions):
    """Whether the far group stands across from the carbonyl oxygen: [n, torsions] bool."""
    trajectory = mdtraj.Trajectory(positions, molecule.to_mdtraj_topology())
    return np.abs(mdtraj.compute_dihedrals(trajectory, turnable_torsions(molecule.rdmol))) > np.pi / 2


@pytest.mark.parametrize("smiles", ["CNC=O", "CC(=O)N[C@@H](C)C(=O)NC", "CC(=O)O", "CC(=O)Nc1ccc(O)cc1"])
def test_every_bond_is_seen_on_both_sides(smiles):
    molecule = Molecule.from_smiles(smiles)
    seeds = molecule.seed_conformers(6, seed=0)
    turned = molecule.turned_conformers(seeds)
    sides = far_side(molecule, np.concatenate([seeds, turned]))
    assert not far_side(molecule, seeds).any()
    assert sides.any(axis=0).all()
    assert (far_side(molecule, turned).sum(axis=1) == 1).all()
    assert molecule.keeps_stereo(turned).all()


def test_only_what_is_low_enough_is_kept():
    molecule = Molecule.from_smiles("CC(=O)Oc1ccccc1C(=O)O")
    seeds = molecule.seed_conformers(6, seed=0)
    system = mmff_system(molecule)
    lowest = energies(system, seeds).min()
    some, every = (molecule.turned_conformers(seeds, window=window) for window in (25.0, 1e9))
    assert 0 < len(some) < len(every)
    assert energies(system, some).max() < lowest + 25.0 + 0.1  # both minimisations stop near their minimum


@pytest.mark.parametrize("smiles", ["CCCC", "CN(C)C=O", "C1CCNC1=O", "NC=O", "CB(O)OC=O"])
def test_nothing_to_turn(smiles):
    molecule = Molecule.from_smiles(smiles)
    seeds = molecule.seed_conformers(2, seed=0)
    assert molecule.turned_conformers(seeds).shape == (0, molecule.n_atoms, 3)


@pytest.mark.parametrize("sequence", ["ACE-ALA-NME", "ACE-PRO-NME", "GLY-ARG"])
def test_peptides_have_the_ring_information_that_searches_need(sequence):
    molecule = Molecule.from_sequence(sequence)
    amides = sum(1 for name in sequence.split("-")) - 1
    assert molecule.rdmol.GetRingInfo().NumRings() == sequence.count("PRO")
    assert amides - sequence.count("PRO") <= len(turnable_torsions(molecule.rdmol)) <= amides + 2
