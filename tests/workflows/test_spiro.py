"""Molecules that are chiral at a spiro centre, for which RDKit has no label, are sampled in one form."""

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import rdDistGeom

from boltzgen.errors import InputError
from boltzgen.molecules.molecule import Molecule
from boltzgen.workflows.preparation import HIDDEN_CHIRALITY, starting_positions
from boltzgen.workflows.sample import sample


def spiro_sides(molecule, x):
    """The sign of the spiro atom's signed volume in each of the conformers x [n, atoms, 3]."""
    found = []
    rings = molecule.rdmol.GetRingInfo()
    for atom in molecule.rdmol.GetAtoms():
        around = [neighbour.GetIdx() for neighbour in atom.GetNeighbors()]
        if len(around) == 4 and rings.NumAtomRings(atom.GetIdx()) == 2 and not has_bridge(atom):
            a, b, c, d = (x[:, index] for index in around)
            found.append(np.sign(np.linalg.det(np.stack([b - a, c - a, d - a], axis=1))))
    return np.array(found)


def has_bridge(atom):
    """Whether a bond of ``atom`` is in no ring."""
    return not all(bond.IsInRing() for bond in atom.GetBonds())


@pytest.mark.parametrize(
    "smiles",
    [
        "C[C@H]1CC2(C[C@H](C)C2)C1",
        "CC1CC2(C1)CC(F)C2",
        "CC1CCC2(CC1)CCC(C)CC2",
        "C1COC2(C1)CCCO2",
        "C1CCOC2(C1)CCCCO2",
        "O=C1CCCC12CCCC2=O",
        "c1ccc2c(c1)C1(CC2)CCc2ccccc21",
        "C1SCCC12CCSC2",
    ],
)
def test_one_of_two_mirror_images_is_sampled(smiles):
    molecule = Molecule.from_smiles(smiles)
    embedded = molecule.seed_conformers(12)
    assert np.unique(spiro_sides(molecule, embedded)).tolist() == [-1.0, 1.0]
    warnings: list[str] = []
    starts = starting_positions(molecule, 0, n_seeds=12, warn=warnings.append).numpy()
    assert len(starts) >= 12
    assert len(np.unique(spiro_sides(molecule, starts))) == 1
    assert molecule.keeps_stereo(starts).all()
    assert warnings == [HIDDEN_CHIRALITY]


@pytest.mark.parametrize(
    "smiles", ["C[C@H]1CCC2(CC1)OCCO2", "C1CCC2(C1)CCCO2", "C1CC2(C1)CCC2", "C1CC12CC23CC3"]
)
def test_spiro_compounds_without_such_a_centre_are_as_they_were(smiles):
    molecule, warnings = Molecule.from_smiles(smiles), []
    assert len(starting_positions(molecule, 0, n_seeds=12, warn=warnings.append)) == 12
    assert not warnings


DIASTEREOMERS = [
    "C[C@@H]1CCC[C@]2(O1)CCC[C@@H](C)O2",  # an insect's pheromone: (E,E) or (Z,Z)
    "CC1CC2(C1)CC1(C2)CC(C)C1",
    "C[C@H](F)C1CC2(C1)CC(C)C2",
]


@pytest.mark.parametrize("smiles", DIASTEREOMERS)
def test_forms_that_are_no_mirror_images_are_refused_by_name(smiles):
    with pytest.raises(InputError, match="leaves stereo open at a centre between like branches"):
        starting_positions(Molecule.from_smiles(smiles), 0, n_seeds=16)


def test_a_file_with_positions_says_which_of_these_is_meant(tmp_path):
    mol = Chem.AddHs(Chem.MolFromSmiles(DIASTEREOMERS[0]))
    forms = set()
    for seed in range(1, 8):
        rdDistGeom.EmbedMolecule(mol, randomSeed=seed)
        Chem.MolToMolFile(mol, str(tmp_path / "given.mol"))
        molecule = Molecule.from_file(tmp_path / "given.mol")
        given = mol.GetConformer().GetPositions()[None]
        starts = starting_positions(molecule, 0, n_seeds=12).numpy()
        sides = spiro_sides(molecule, np.concatenate([given, starts]))
        assert len(starts) > 1
        assert len(np.unique(sides)) == 1
        forms.update(sides.flat)
    assert forms == {-1.0, 1.0}


def test_a_whole_run_is_of_one_mirror_image():
    frames = {"ladders": 2, "picoseconds": 0.5, "walkers": 16, "local_picoseconds": 0.5}
    run = sample(
        "C[C@H]1CC2(C[C@H](C)C2)C1",
        100,
        max_steps=1,
        refine="off",
        frames=frames,
        training={"batch_size": 16},
    )
    counts = np.isfinite(run.log_weights)
    assert counts.any()
    assert len(np.unique(spiro_sides(run.molecule, run.positions[counts].astype(float)))) == 1
    assert HIDDEN_CHIRALITY in run.metadata["warnings"]
