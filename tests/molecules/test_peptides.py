"""Peptides from sequences and PDB files, against RDKit's and OpenMM's own residue knowledge."""

import numpy as np
import openmm.app
import pytest
from rdkit import Chem

from boltzgen.errors import InputError
from boltzgen.molecules.molecule import Molecule
from boltzgen.molecules.peptides import RESIDUES, is_sequence

LETTERS = {
    "GLY": "G", "ALA": "A", "VAL": "V", "LEU": "L", "ILE": "I", "SER": "S", "THR": "T", "CYS": "C",
    "MET": "M", "PRO": "P", "PHE": "F", "TYR": "Y", "TRP": "W", "HIE": "H", "ASH": "D", "ASN": "N",
    "GLH": "E", "GLN": "Q", "LYN": "K",
}  # fmt: skip


def neutral(rdmol):
    smiles = Chem.MolToSmiles(Chem.RemoveHs(rdmol)).replace("[NH3+]", "N").replace("[O-]", "O")
    return Chem.CanonSmiles(smiles)


@pytest.mark.parametrize("residue", sorted(LETTERS))
def test_neutral_residues_equal_rdkit_sequences(residue):
    ours = Molecule.from_sequence(f"ALA-{residue}-GLY").rdmol
    assert neutral(ours) == Chem.MolToSmiles(Chem.MolFromSequence(f"A{LETTERS[residue]}G"))


@pytest.mark.parametrize("residue", sorted(set(RESIDUES) - {"ACE", "NME", "NHE"}))
def test_atom_names_equal_the_force_field_templates(residue):
    template = openmm.app.ForceField("amber14/protein.ff14SB.xml")._templates[residue]
    residues = list(Molecule.from_sequence(f"ACE-{residue}-NME").to_openmm_topology().residues())
    ours = {atom.name for atom in residues[1].atoms()}
    expected = {atom.name for atom in template.atoms}
    # Names of hydrogens on one carbon differ between PDB versions; the heavy atoms' do not.
    assert {name for name in ours if name[0] != "H"} == {name for name in expected if name[0] != "H"}
    assert len(ours) == len(expected)


def test_pdb_gives_the_sequence_back_in_its_own_order(tmp_path):
    molecule = Molecule.from_sequence("ACE-HIP-PRO-ILE-ASP-NME")
    positions = molecule.seed_conformers(2, seed=1, minimise=False)
    with (tmp_path / "peptide.pdb").open("w") as file:
        openmm.app.PDBFile.writeHeader(molecule.to_openmm_topology(), file)
        for model, x in enumerate(positions, start=1):
            openmm.app.PDBFile.writeModel(molecule.to_openmm_topology(), 10 * x, file, modelIndex=model)
        openmm.app.PDBFile.writeFooter(molecule.to_openmm_topology(), file)
    back = Molecule.from_file(tmp_path / "peptide.pdb")
    assert back.smiles == molecule.smiles
    assert [a.name for a in back.to_openmm_topology().atoms()] == [
        a.name for a in molecule.to_openmm_topology().atoms()
    ]
    np.testing.assert_allclose(back.seed_conformers(2, minimise=False), positions, atol=1e-4)
    assert back.keeps_stereo(positions).all()


def test_pdb_without_hydrogens_gets_them(tmp_path):
    molecule = Molecule.from_sequence("ACE-ALA-SER-NME")
    modeller = openmm.app.Modeller(molecule.to_openmm_topology(), molecule.seed_conformers(1)[0])
    modeller.delete([a for a in modeller.topology.atoms() if a.element is openmm.app.element.hydrogen])
    with (tmp_path / "heavy.pdb").open("w") as file:
        openmm.app.PDBFile.writeFile(modeller.topology, modeller.positions, file)
    back = Molecule.from_file(tmp_path / "heavy.pdb")
    assert back.smiles == molecule.smiles
    assert back.keeps_stereo(back.seed_conformers(1, minimise=False)).all()


def test_phi_and_psi_are_found():
    import mdtraj

    topology = Molecule.from_sequence("ACE-ALA-ALA-NME").to_mdtraj_topology()
    trajectory = mdtraj.Trajectory(np.zeros((1, 32, 3)), topology)
    assert len(mdtraj.compute_phi(trajectory)[0]) == len(mdtraj.compute_psi(trajectory)[0]) == 2


@pytest.mark.parametrize(
    ("sequence", "sentence"),
    [
        ("ACE-XYZ-NME", "Unknown residue 'XYZ'"),
        ("GLY-ACE", "must stand at an end"),
        ("NME-GLY", "must stand at an end"),
        ("ALA", "single residue"),
    ],
)
def test_sequences_that_are_refused(sequence, sentence):
    with pytest.raises(InputError, match=sentence):
        Molecule.from_sequence(sequence)


def test_pdb_files_that_are_refused(tmp_path):
    (tmp_path / "text.pdb").write_text("ATOM  nonsense\n")
    molecule = Molecule.from_sequence("ACE-ALA-NME")
    with (tmp_path / "odd.pdb").open("w") as file:
        openmm.app.PDBFile.writeFile(molecule.to_openmm_topology(), molecule.seed_conformers(1)[0] * 10, file)
    complete = (tmp_path / "odd.pdb").read_text()
    lacking = "".join(line for line in complete.splitlines(keepends=True) if " CB " not in line)
    (tmp_path / "lacking.pdb").write_text(lacking)
    (tmp_path / "odd.pdb").write_text(complete.replace("ALA", "UNK"))
    for name in ("text.pdb", "missing.pdb", "odd.pdb", "lacking.pdb"):
        with pytest.raises(InputError, match=name):
            Molecule.from_file(tmp_path / name)


@pytest.mark.parametrize(("text", "expected"), [("ACE-ALA-NME", True), ("C-C", False), ("CCO", False)])
def test_sequences_are_told_from_smiles(text, expected):
    assert is_sequence(text) is expected
