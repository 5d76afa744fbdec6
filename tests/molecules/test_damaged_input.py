"""SMILES with slips of the pen and damaged files of molecules: a molecule that is one, or one sentence."""

import numpy as np
import openmm
import openmm.app
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rdkit import Chem, rdBase
from rdkit.Chem import rdDistGeom

from boltzgen.forcefields.external import read_system
from boltzgen.forcefields.mmff import mmff_system
from boltzgen.molecules.conformer_files import read_positions
from boltzgen.molecules.molecule import Molecule
from tests.fuzzing import damaged, fuzz, read_or_refused

SMILES = (
    "CC(=O)N[C@@H](C)C(=O)NC",
    "C/C=C/C(F)(F)F",
    "C[S@](=O)c1ccccc1",
    "[NH3+][C@@H](CO)C(=O)[O-]",
    "[2H]C1CC1Cl",
    "COP(=O)([O-])OC",
    "O=c1cc[nH]c(=O)[nH]1",
    "CC=C=CC",
    "N#CC1CCOC1",
)
LETTERS = "CNOPSFIBrcnops[]()=#:/\\@+-.%123456789H$*~>{} \t\n|&,\0é"


@st.composite
def mutated_smiles(draw):
    """A SMILES with up to three letters added, removed, exchanged or repeated."""
    text = draw(st.sampled_from(SMILES))
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, max(len(text) - 1, 0)))
        kind = draw(st.sampled_from(("add", "remove", "replace", "repeat", "swap")))
        letter = draw(st.sampled_from(LETTERS))
        if kind == "add":
            text = text[:place] + letter + text[place:]
        elif kind == "remove":
            text = text[:place] + text[place + 1 :]
        elif kind == "replace":
            text = text[:place] + letter + text[place + 1 :]
        elif kind == "repeat":
            end = place + draw(st.integers(1, 6))
            text = text[:end] + text[place:]
        else:
            text = text[:place] + text[place + 1 : place + 2] + text[place : place + 1] + text[place + 2 :]
    return text


def formula(mol):
    """Counts of elements with isotopes, and the charge."""
    with_hydrogens = Chem.AddHs(mol)
    atoms = sorted((a.GetAtomicNum(), a.GetIsotope()) for a in with_hydrogens.GetAtoms())
    return atoms, Chem.GetFormalCharge(mol)


@given(mutated_smiles())
@example("")
@example(" ")
@example("C C")
@example("C\0C")
@example("(" * 3000)
@example("C" * 10_000)
@example("C%(123)CC%(123)")
@fuzz(250)
def test_a_mutated_smiles_is_that_molecule_or_refused(smiles):
    molecule = read_or_refused(lambda: Molecule.from_smiles(smiles))
    if molecule is None:
        return
    with rdBase.BlockLogs():
        asked = Chem.MolFromSmiles(smiles.strip())
    assert asked is not None
    assert formula(asked) == formula(molecule.rdmol)
    assert len(smiles.split()) == 1  # nothing after white space is left out
    again = Molecule.from_smiles(molecule.smiles)
    assert again.smiles == molecule.smiles
    if Chem.MolToSmiles(asked) == molecule.smiles:  # as it is save for labels that tell nothing apart
        assert not any(
            info.specified == Chem.StereoSpecified.Unknown for info in Chem.FindPotentialStereo(asked)
        )


ALANINE = "C[C@H](N)C(=O)O"


def embedded(smiles, n=2):
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    parameters = rdDistGeom.ETKDGv3()
    parameters.randomSeed = 5
    rdDistGeom.EmbedMultipleConfs(mol, n, parameters)
    return mol


def sdf_text(mol):
    return "".join(Chem.MolToMolBlock(mol, confId=c.GetId()) + "$$$$\n" for c in mol.GetConformers())


def xyz_text(mol):
    return "".join(Chem.MolToXYZBlock(mol, confId=c.GetId()) for c in mol.GetConformers())


def pdb_text(sequence):
    molecule = Molecule.from_sequence(sequence)
    lines = []
    for number, atom in enumerate(molecule.rdmol.GetAtoms(), start=1):
        info = atom.GetPDBResidueInfo()
        x, y, z = 10 * PEPTIDE_POSITIONS[number - 1]
        lines.append(
            f"ATOM  {number:5d} {info.GetName():4s} {info.GetResidueName():3s} A{info.GetResidueNumber():4d}"
            f"    {x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00          {atom.GetSymbol():>2s}\n"
        )
    return "".join(lines) + "END\n"


EMBEDDED = embedded(ALANINE)
PEPTIDE_POSITIONS = Molecule.from_sequence("ACE-GLY-NME").seed_conformers(1)[0]
FILES = {
    ".sdf": sdf_text(EMBEDDED).encode(),
    ".mol": Chem.MolToMolBlock(EMBEDDED).encode(),
    ".pdb": pdb_text("ACE-GLY-NME").encode(),
}


@pytest.mark.parametrize("suffix", sorted(FILES))
def test_the_whole_files_are_read(suffix, tmp_path):
    path = tmp_path / f"molecule{suffix}"
    path.write_bytes(FILES[suffix])
    molecule = Molecule.from_file(path)
    assert molecule.smiles == {".pdb": "CNC(=O)CNC(C)=O"}.get(suffix, Chem.CanonSmiles(ALANINE))


def test_numbers_of_a_reaction_are_left_out():
    molecule = Molecule.from_smiles("[CH3:1][C:2]([CH3:3])(F)Cl")
    assert molecule.smiles == "CC(C)(F)Cl"


@given(st.data(), st.sampled_from(sorted(FILES)))
@fuzz(300)
def test_a_damaged_file_is_a_whole_molecule_or_refused(tmp_path_factory, data, suffix):
    path = tmp_path_factory.mktemp("files") / f"molecule{suffix}"
    content = data.draw(damaged(FILES[suffix]))
    path.write_bytes(content)
    molecule = read_or_refused(lambda: Molecule.from_file(path))
    if molecule is None:
        return
    x = [conformer.GetPositions() for conformer in molecule.rdmol.GetConformers()]
    assert np.isfinite(np.array(x)).all()
    assert Molecule.from_json(molecule.to_json()).smiles == molecule.smiles
    if suffix != ".pdb":
        with rdBase.BlockLogs():
            asked = Chem.MolFromMolBlock(content.decode().split("$$$$")[0], removeHs=False)
        assert formula(asked) == formula(molecule.rdmol)


# mdtraj leaves it to the garbage collector to close a .pdb file that it cannot read.
closed_late = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
POSITIONS = np.array([c.GetPositions() for c in EMBEDDED.GetConformers()]) / 10  # nm


def binary(write, path):
    write(path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def position_files(tmp_path_factory):
    """Two conformers of alanine in every kind of file, in its order of atoms."""
    import mdtraj

    folder = tmp_path_factory.mktemp("positions")
    alanine = Molecule(EMBEDDED)
    trajectory = mdtraj.Trajectory(POSITIONS.astype(np.float32), alanine.to_mdtraj_topology())
    return {
        ".npz": binary(lambda path: np.savez(path, positions=POSITIONS), folder / "a.npz"),
        ".npy": binary(lambda path: np.save(path, POSITIONS), folder / "a.npy"),
        ".xyz": xyz_text(EMBEDDED).encode(),
        ".sdf": FILES[".sdf"],
        ".dcd": binary(lambda path: trajectory.save_dcd(str(path)), folder / "a.dcd"),
        ".pdb": binary(lambda path: trajectory.save_pdb(str(path)), folder / "a.pdb"),
    }


@closed_late
@pytest.mark.parametrize("suffix", [".npz", ".npy", ".xyz", ".sdf", ".dcd", ".pdb"])
def test_damaged_positions_are_refused_or_fit_the_molecule(position_files, tmp_path_factory, suffix):
    alanine = Molecule(EMBEDDED)
    path = tmp_path_factory.mktemp("positions") / f"a{suffix}"
    path.write_bytes(position_files[suffix])
    np.testing.assert_allclose(read_positions(alanine, path), POSITIONS, atol=2e-4)

    @given(damaged(position_files[suffix]))
    @fuzz(100)
    def check(content):
        path.write_bytes(content)
        x = read_or_refused(lambda: read_positions(alanine, path))
        if x is not None:
            assert x.shape[1:] == (alanine.n_atoms, 3)
            assert len(x) >= 1
            assert np.isfinite(x).all()

    check()


@closed_late
@pytest.mark.parametrize("suffix", [".npz", ".npy", ".xyz", ".sdf", ".dcd", ".pdb"])
@pytest.mark.parametrize("other", [".npz", ".xyz", ".dcd", ".pdb"])
def test_a_file_of_another_kind_is_refused_or_read_for_what_it_is(position_files, tmp_path, suffix, other):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(position_files[other])
    x = read_or_refused(lambda: read_positions(Molecule(EMBEDDED), path))
    if x is not None:
        np.testing.assert_allclose(x, POSITIONS, atol=2e-4)


def test_a_damaged_system_is_refused_or_has_finite_numbers(tmp_path):
    system = mmff_system(Molecule.from_smiles("CO"))
    path = tmp_path / "system.xml"
    whole = openmm.XmlSerializer.serialize(system).encode()

    @given(damaged(whole))
    @fuzz(150)
    def check(content):
        path.write_bytes(content)
        read = read_or_refused(lambda: read_system(path))
        if read is not None:
            assert openmm.XmlSerializer.deserialize(content.decode()).getNumForces() == read.getNumForces()
            masses = [read.getParticleMass(k)._value for k in range(read.getNumParticles())]
            assert np.isfinite(masses).all()

    check()
