"""Torsions against RDKit's and mdtraj's values, and the choice of torsions by hand."""

import math

import mdtraj
import numpy as np
import pytest
from rdkit.Chem import rdMolTransforms

from boltzgen.molecules.molecule import Molecule
from boltzgen.molecules.stereo import conformer
from boltzgen.molecules.torsions import conformer_torsions, torsion_values, wrapped


def kinds(smiles):
    return [t.kind for t in conformer_torsions(Molecule.from_smiles(smiles))]


@pytest.mark.parametrize(
    ("smiles", "rotatable", "ring", "inversion"),
    [
        ("C", 0, 0, 0),
        ("CC", 0, 0, 0),
        ("CCCC", 1, 0, 0),
        ("CCO", 1, 0, 0),
        ("CC(C)(C)C(C)(C)C", 0, 0, 0),
        ("FC(F)(F)CCO", 2, 0, 0),
        ("CC#CCO", 1, 0, 0),
        ("C/C=C/C=O", 1, 0, 0),
        ("CC(=O)N[C@@H](C)C(=O)NC", 4, 0, 0),
        ("C1CCCCC1", 0, 6, 0),
        ("C1CCNCC1", 0, 6, 1),
        ("c1ccccc1", 0, 0, 0),
        ("CC(C)Cc1ccc(cc1)[C@@H](C)C(=O)O", 5, 0, 0),
    ],
)
def test_which_torsions_tell_conformers_apart(smiles, rotatable, ring, inversion):
    found = kinds(smiles)
    counts = [found.count(kind) for kind in ("rotatable", "ring", "inversion")]
    assert counts == [rotatable, ring, inversion]


@pytest.mark.parametrize("smiles", ["CC(=O)N[C@@H](C)C(=O)NC", "OC1CCCCC1", "NCC(=O)O"])
def test_values_equal_those_of_rdkit_and_mdtraj(smiles):
    molecule = Molecule.from_smiles(smiles)
    positions = molecule.seed_conformers(5, seed=3)
    torsions = [t for t in conformer_torsions(molecule) if len(t.start) == len(t.end) == 1]
    quadruples = [[*t.start, *t.axis, *t.end] for t in torsions]
    periods = np.array([t.period for t in torsions])
    values = torsion_values(positions, torsions)
    trajectory = mdtraj.Trajectory(positions, molecule.to_mdtraj_topology())
    theirs = wrapped(mdtraj.compute_dihedrals(trajectory, quadruples).astype(float), periods)
    assert np.abs(wrapped(values - theirs, periods)).max() < 1e-4
    for frame, row in zip(positions, values, strict=True):
        rdkits = np.array([rdMolTransforms.GetDihedralRad(conformer(frame), *q) for q in quadruples])
        assert np.abs(wrapped(row - rdkits, periods)).max() < 1e-9


@pytest.mark.parametrize(
    ("smiles", "axis", "swapped"), [("CCN", (1, 2), (8, 9)), ("Cc1ccccc1CC", None, None)]
)
def test_values_do_not_depend_on_labels_of_equivalent_hydrogens(smiles, axis, swapped):
    molecule = Molecule.from_smiles(smiles)
    positions = molecule.seed_conformers(3)
    torsions = conformer_torsions(molecule)
    if axis is not None:
        assert [t.axis for t in torsions] == [axis]
        order = list(range(molecule.n_atoms))
        order[swapped[0]], order[swapped[1]] = swapped[1], swapped[0]
        assert torsion_values(positions[:, order], torsions) == pytest.approx(
            torsion_values(positions, torsions)
        )
    else:
        assert [t.period for t in torsions] == [2 * math.pi]


def test_a_phenyl_turns_by_half_a_period():
    molecule = Molecule.from_smiles("CCc1ccccc1")
    (torsion,) = conformer_torsions(molecule)
    assert torsion.period == pytest.approx(math.pi)


def test_wrapping_keeps_the_upper_end():
    angles = np.array([-math.pi, math.pi, 3 * math.pi, 0.0, -3.5 * math.pi])
    expected = [math.pi, math.pi, math.pi, 0.0, 0.5 * math.pi]
    assert wrapped(angles) == pytest.approx(expected)


def test_a_peptides_torsions_run_along_its_backbone():
    molecule = Molecule.from_smiles("CC(=O)N[C@@H](C)C(=O)NC")
    chosen = {(*t.start, *t.axis, *t.end) for t in conformer_torsions(molecule)}
    assert chosen == {(0, 1, 3, 4), (1, 3, 4, 6), (3, 4, 6, 8), (4, 6, 8, 9)}
