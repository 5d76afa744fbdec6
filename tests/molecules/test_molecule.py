"""The molecule's own data, its topologies, its text form and its seeds."""

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import rdForceFieldHelpers

from boltzgen.errors import InputError
from boltzgen.molecules import seeds
from boltzgen.molecules.molecule import Molecule
from boltzgen.molecules.stereo import conformer
from boltzgen.molecules.torsions import conformer_torsions


def test_arrays_stand_in_one_atom_order():
    molecule = Molecule.from_smiles("[NH3+]CC(=O)[O-]", name="glycine")
    assert molecule.n_atoms == 10
    assert molecule.formal_charge == 0
    assert list(molecule.atomic_numbers) == [7, 6, 6, 8, 8, 1, 1, 1, 1, 1]
    np.testing.assert_allclose(molecule.masses[:5], [14.007, 12.011, 12.011, 15.999, 15.999], atol=1e-3)
    assert molecule.bonds == sorted(molecule.bonds)
    assert all(i < j for i, j in molecule.bonds)
    for topology in (molecule.to_openmm_topology(), molecule.to_mdtraj_topology()):
        atoms = list(topology.atoms() if callable(topology.atoms) else topology.atoms)
        assert len({atom.name for atom in atoms}) == 10
        elements = [getattr(atom.element, "atomic_number", None) for atom in atoms]
        assert elements == list(molecule.atomic_numbers)


@pytest.mark.parametrize("smiles", ["C[C@H](F)/C=C/C", "c1ccccc1[N+](=O)[O-]", "[2H]C([2H])O", "[H][H]"])
def test_text_form_gives_the_same_molecule_back(smiles):
    molecule = Molecule.from_smiles(smiles, name="a name")
    back = Molecule.from_json(molecule.to_json())
    assert back.smiles == molecule.smiles
    assert back.name == "a name"
    assert back.bonds == molecule.bonds
    np.testing.assert_array_equal(back.atomic_numbers, molecule.atomic_numbers)
    np.testing.assert_array_equal(back.masses, molecule.masses)
    np.testing.assert_array_equal(back.stereo.centres, molecule.stereo.centres)
    np.testing.assert_array_equal(back.stereo.handedness, molecule.stereo.handedness)
    np.testing.assert_array_equal(back.stereo.cis, molecule.stereo.cis)


def test_text_form_keeps_what_mmff94_goes_by():
    molecule = Molecule.from_smiles("CC(=O)N(C)c1ccncc1F")
    back = Molecule.from_json(molecule.to_json())
    strains = []
    for rdmol in (molecule.rdmol, back.rdmol):
        placed = Chem.Mol(rdmol)
        placed.AddConformer(conformer(molecule.seed_conformers(1)[0]))
        properties = rdForceFieldHelpers.MMFFGetMoleculeProperties(placed)
        strains.append(rdForceFieldHelpers.MMFFGetMoleculeForceField(placed, properties).CalcEnergy())
    assert strains[0] == strains[1]


@pytest.mark.parametrize("smiles", ["CCc1ccc(C)cc1", "C1CCNCC1", "CC(=O)Nc1ccccc1", "CS(=O)(=O)N1CCC1"])
def test_text_form_keeps_what_torsions_are_named_by(smiles):
    """A phenyl turns by half a period because its atom is sp², which RDKit's JSON does not tell."""
    molecule = Molecule.from_smiles(smiles)
    back = Molecule.from_json(molecule.to_json())
    heavy = [atom.GetIdx() for atom in molecule.rdmol.GetAtoms() if atom.GetAtomicNum() > 1]
    for index in heavy:
        ours, theirs = (m.rdmol.GetAtomWithIdx(index).GetHybridization() for m in (molecule, back))
        assert ours == theirs
    assert conformer_torsions(back) == conformer_torsions(molecule)


def test_text_form_keeps_residues():
    molecule = Molecule.from_sequence("ACE-ALA-NME")
    names = [atom.name for atom in Molecule.from_json(molecule.to_json()).to_openmm_topology().atoms()]
    assert names == [atom.name for atom in molecule.to_openmm_topology().atoms()]


@pytest.mark.parametrize("seed", [0, 1, 2, 2**31])
def test_seeds_differ_from_each_other_and_repeat_by_seed(seed):
    molecule = Molecule.from_smiles("CCCCCO")
    first = molecule.seed_conformers(6, seed=seed, minimise=False)
    np.testing.assert_array_equal(first, molecule.seed_conformers(6, seed=seed, minimise=False))
    distances = np.linalg.norm(first[:, :, None] - first[:, None, :], axis=-1)
    differences = np.abs(distances[:, None] - distances[None]).max(axis=(2, 3))
    assert differences[~np.eye(6, dtype=bool)].min() > 1e-3
    other = molecule.seed_conformers(6, seed=seed + 1, minimise=False)
    other_distances = np.linalg.norm(other[:, :, None] - other[:, None, :], axis=-1)
    assert np.abs(distances[:, None] - other_distances[None]).max(axis=(2, 3)).min() > 1e-3


def test_minimised_seeds_have_ordinary_bonds():
    molecule = Molecule.from_smiles("CC(C)Cc1ccc(cc1)[C@@H](C)C(=O)O")
    positions = molecule.seed_conformers(5, seed=1)
    i, j = np.array(molecule.bonds).T
    lengths = np.linalg.norm(positions[:, i] - positions[:, j], axis=-1)
    assert lengths.min() > 0.09
    assert lengths.max() < 0.16


def test_seeds_are_the_same_however_many_are_embedded_together(monkeypatch):
    molecule = Molecule.from_smiles("CCCCCO")
    few = molecule.seed_conformers(7, seed=3, minimise=False)
    monkeypatch.setattr(seeds, "EMBEDDED_TOGETHER", 64)
    np.testing.assert_array_equal(few, molecule.seed_conformers(7, seed=3, minimise=False))


def test_strained_minima_of_the_force_field_are_no_seeds(monkeypatch):
    """Among the seeds of cycloheptane there are minima of MMFF94 106 kcal/mol above the lowest."""
    molecule = Molecule.from_smiles("C1CCCCCC1")
    properties = rdForceFieldHelpers.MMFFGetMoleculeProperties(molecule.rdmol)

    def energies() -> np.ndarray:
        rdmol = Chem.Mol(molecule.rdmol)
        for x in molecule.seed_conformers(64):
            rdmol.AddConformer(conformer(x), assignId=True)
        fields = [
            rdForceFieldHelpers.MMFFGetMoleculeForceField(rdmol, properties, confId=c.GetId())
            for c in rdmol.GetConformers()
        ]
        return np.array([field.CalcEnergy() for field in fields])

    assert np.ptp(energies()) < 50.0
    monkeypatch.setattr(seeds, "MOST_STRAIN", np.inf)
    assert np.ptp(energies()) > 100.0


def test_impossible_requests_for_seeds():
    molecule = Molecule.from_smiles("CC")
    with pytest.raises(InputError, match="at least 1"):
        molecule.seed_conformers(0)
    with pytest.raises(InputError, match="negative"):
        molecule.seed_conformers(1, seed=-1)
    with pytest.raises(InputError, match="no three-dimensional conformer"):
        Molecule.from_smiles("C1C[C@H]2CC[C@H]1C2").seed_conformers(1)


def test_positions_of_another_molecule_are_refused():
    with pytest.raises(InputError, match="give \\[n, 8, 3\\]"):
        Molecule.from_smiles("CC").require_positions(np.zeros((1, 5, 3)))


@pytest.mark.parametrize("smiles", ["C1CCCC#CCC1", "CN=S=O", "C1Cc2ccc(cc2)CCc2ccc1cc2"])
def test_what_etkdg_does_not_close_has_seeds_all_the_same(smiles):
    """Cyclooctyne's bent alkyne and paracyclophane's bent rings are no torsions that ETKDG knows."""
    molecule = Molecule.from_smiles(smiles)
    x = molecule.seed_conformers(4, seconds=1.0)
    assert len(x) >= 1
    lengths = [np.linalg.norm(x[:, i] - x[:, j], axis=1) for i, j in molecule.bonds]
    assert 0.09 < np.min(lengths) < np.max(lengths) < 0.2
