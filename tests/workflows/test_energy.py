"""Energies of conformers read from files, against RDKit's MMFF."""

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

from boltzgen.errors import InputError
from boltzgen.units import KJ_PER_KCAL
from boltzgen.workflows.energy import conformer_energies


@pytest.fixture
def shuffled_sdf(tmp_path):
    """Three conformers of ethyl acetate in an atom order of their own, and RDKit's energies."""
    mol = Chem.AddHs(Chem.MolFromSmiles("CCOC(C)=O"))
    mol = Chem.RenumberAtoms(mol, np.random.default_rng(1).permutation(mol.GetNumAtoms()).tolist())
    rdDistGeom.EmbedMultipleConfs(mol, 3, randomSeed=7)
    path = tmp_path / "conformers.sdf"
    energies = []
    properties = rdForceFieldHelpers.MMFFGetMoleculeProperties(mol)
    with Chem.SDWriter(str(path)) as writer:
        for conformer in mol.GetConformers():
            field = rdForceFieldHelpers.MMFFGetMoleculeForceField(mol, properties, confId=conformer.GetId())
            energies.append(field.CalcEnergy())
            writer.write(mol, confId=conformer.GetId())
    return path, np.array(energies)


def test_records_in_any_atom_order_have_rdkits_energies(shuffled_sdf):
    path, expected = shuffled_sdf
    energies = conformer_energies("CCOC(C)=O", path)
    # The file rounds positions to 1e-4 Å; gradients are some hundred kcal/(mol Å).
    np.testing.assert_allclose(energies.total / KJ_PER_KCAL, expected, atol=0.05)
    assert sum(energies.terms.values()) == pytest.approx(energies.total)
    assert len(energies.terms) >= 5


def test_what_is_not_the_molecule_is_refused(shuffled_sdf, tmp_path):
    path, _ = shuffled_sdf
    with pytest.raises(InputError, match="Record 1"):
        conformer_energies("CCOCC", path)
    with pytest.raises(InputError, match="no file"):
        conformer_energies("CCO", tmp_path / "nothing.sdf")
    np.save(tmp_path / "short.npy", np.zeros((2, 3, 3)))
    with pytest.raises(InputError, match="do not fit"):
        conformer_energies("CCO", tmp_path / "short.npy")
    with (tmp_path / "array.npz").open("wb") as file:
        np.save(file, np.zeros((2, 3, 3)))
    with pytest.raises(InputError, match="do not fit"):
        conformer_energies("CCO", tmp_path / "array.npz")
    (tmp_path / "text.npz").write_text("positions")
    with pytest.raises(InputError, match="cannot be read as an array"):
        conformer_energies("CCO", tmp_path / "text.npz")
    (tmp_path / "text.txt").write_text("positions")
    with pytest.raises(InputError, match="no kind known"):
        conformer_energies("CCO", tmp_path / "text.txt")


def rdkit_energy(mol: Chem.Mol) -> float:
    properties = rdForceFieldHelpers.MMFFGetMoleculeProperties(mol)
    return rdForceFieldHelpers.MMFFGetMoleculeForceField(mol, properties).CalcEnergy()


def conformer_of(smiles: str, **settings) -> Chem.Mol:
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    rdDistGeom.EmbedMolecule(mol, randomSeed=3, **settings)
    return mol


@pytest.mark.parametrize(
    ("smiles", "other"),
    [
        ("C[C@H](F)Cl", "C[C@@H](F)Cl"),
        ("C/C=C/C", "C/C=C\\C"),
        ("C[C@H](F)C[C@@H](F)C", "C[C@H](F)C[C@H](F)C"),
    ],
)
@pytest.mark.parametrize("kind", ["sdf", "npy", "xyz"])
def test_another_stereoisomer_is_named(tmp_path, smiles, other, kind):
    for given in (smiles, other):
        mol, path = conformer_of(given), tmp_path / f"{given == smiles}.{kind}"
        if kind == "sdf":
            path.write_text(Chem.MolToMolBlock(mol) + "$$$$\n")
        elif kind == "xyz":
            path.write_text(Chem.MolToXYZBlock(mol))
        else:
            np.save(path, mol.GetConformer().GetPositions()[None] / 10)
    expected = rdkit_energy(conformer_of(smiles))
    found = conformer_energies(smiles, tmp_path / f"True.{kind}").total / KJ_PER_KCAL
    np.testing.assert_allclose(found, [expected], atol=0.05)
    with pytest.raises(InputError, match="another stereoisomer") as caught:
        conformer_energies(smiles, tmp_path / f"False.{kind}")
    assert Chem.CanonSmiles(other) in str(caught.value)


def test_centres_of_a_meso_compound_are_matched_by_their_stereo(tmp_path):
    mol = conformer_of("C[C@H](F)C[C@H](F)C")
    order = np.random.default_rng(0).permutation(mol.GetNumAtoms()).tolist()
    shuffled = Chem.RenumberAtoms(mol, order)
    (tmp_path / "meso.sdf").write_text(Chem.MolToMolBlock(shuffled))
    expected = rdkit_energy(mol) * KJ_PER_KCAL
    for smiles in ("C[C@H](F)C[C@H](F)C", "C[C@@H](F)C[C@@H](F)C"):
        assert conformer_energies(smiles, tmp_path / "meso.sdf").total[0] == pytest.approx(expected, abs=0.2)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda lines: lines[:-3], "ends after 6 of 9 atoms"),
        (lambda lines: lines[:11] + lines[:5], "Frame 2 of .* ends after 3 of 9 atoms"),
        (lambda lines: ["8", *lines[1:]], "has 8 atoms"),
        (lambda lines: [*lines[:2], lines[2].replace("C", "N"), *lines[3:]], "the element N for atom 1"),
        (lambda lines: [*lines[:2], "C 0.0 nan 0.0", *lines[3:]], "no three finite numbers for atom 1"),
        (lambda lines: ["", *lines[1:]], "number of atoms"),
        (lambda lines: [], "no conformer"),
    ],
)
def test_xyz_files_that_do_not_fit_are_named(tmp_path, change, sentence):
    lines = Chem.MolToXYZBlock(conformer_of("CCO")).splitlines()
    (tmp_path / "ethanol.xyz").write_text("\n".join(change(lines)) + "\n")
    with pytest.raises(InputError, match=sentence):
        conformer_energies("CCO", tmp_path / "ethanol.xyz")


def test_xyz_trajectories_have_every_frame(tmp_path):
    block = Chem.MolToXYZBlock(conformer_of("CCO"))
    (tmp_path / "two.xyz").write_text(block + block)
    energies = conformer_energies("CCO", tmp_path / "two.xyz").total
    assert energies[0] == energies[1]
