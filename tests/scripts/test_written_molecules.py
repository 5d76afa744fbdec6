"""The robustness script's checks find what they are for: each is shown a file that is wrong in one way."""

import sys
from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import rdDistGeom

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
from written_molecules import wrong_arrays, wrong_conformers


def conformers(smiles, n=2, change=lambda x: x):
    """``n`` copies of a conformer of ``smiles`` from RDKit (Å), the last one changed by ``change``."""
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    rdDistGeom.EmbedMolecule(mol, randomSeed=1)
    for _ in range(n - 1):
        mol.AddConformer(mol.GetConformer(0), assignId=True)
    placed = mol.GetConformer(n - 1)
    placed.SetPositions(change(placed.GetPositions()))
    return mol


def written(mol, path):
    with Chem.SDWriter(str(path)) as writer:
        for conformer in mol.GetConformers():
            mol.SetProp("weight", "0.1")
            writer.write(mol, confId=conformer.GetId())
    return path


def mirrored(x):
    return x * np.array([1.0, 1.0, -1.0])


def torn(x):
    return x + np.eye(len(x))[:, :1] * 5.0


SOUND = [
    "C[C@H](F)Cl",
    "C/C=C/C",
    "NC(N)=[NH2+]",
    "CNC(C)=[NH2+]",
    "[2H]C(C)[13CH3]",
    "C[S@](=O)CC",
    "CC=C=CC",
    "C/C=C=C=C/C",
    "[NH3+]CC(=O)[O-]",
    "C[P@](c1ccccc1)C(C)C",
    "C[P@@](c1ccccc1)C(C)C",
    "O[C@@H]1C[N@]2CC[C@H]1CC2",
    "CC(N)C(=O)N(C)CC",
    "CN1CC1",
    "C[C@@H]1C[N@@]1C",
    "C[C@@H]1C[N@]1C",
    "[NH3+]CCO[P@](=O)([O-])O",
    "[NH3+]CCO[P@@](=O)([O-])O",
]


@pytest.mark.parametrize("smiles", SOUND)
def test_sound_molecules_pass(smiles, tmp_path):
    assert wrong_conformers(smiles, written(conformers(smiles, 1), tmp_path / "a.sdf")) == ""


@pytest.mark.parametrize(
    ("smiles", "mol", "said"),
    [
        ("C[C@H](F)Cl", conformers("C[C@H](F)Cl", 1, mirrored), "another stereoisomer"),
        ("C[C@H](F)Cl", conformers("C[C@H](F)Cl", 2, mirrored), "another stereoisomer"),
        ("C[P@](CC)C(C)C", conformers("C[P@](CC)C(C)C", 1, mirrored), "another stereoisomer"),
        ("O[C@@H]1C[N@]2CC[C@H]1CC2", conformers("O[C@H]1C[N@@]2CC[C@@H]1CC2"), "another stereoisomer"),
        ("C/C=C/C", conformers("C/C=C\\C"), "another stereoisomer"),
        ("CC=C=CC", conformers("CC=C=CC", 2, mirrored), "several stereoisomers"),
        ("CCO", conformers("CCS"), "another molecule"),
        ("CCO", conformers("CC[O-]"), "another molecule"),
        ("[13CH3]CO", conformers("CCO"), "another molecule"),
        ("CCO", conformers("CCO", 2, torn), "a bond"),
        ("CCO", conformers("CCO", 2, lambda x: 10 * x), "a bond"),
    ],
)
def test_each_fault_is_named(smiles, mol, said, tmp_path):
    assert wrong_conformers(smiles, written(mol, tmp_path / "a.sdf")).startswith(said)


def arrays(path, **change):
    content = {
        "positions": np.zeros((3, 2, 3)),
        "log_weights": np.array([0.0, -np.inf, 1.0]),
        "reduced_energies": np.array([0.0, np.inf, 1.0]),
    }
    np.savez(path, **(content | change))
    return path


def test_arrays_that_are_whole_pass_and_others_are_named(tmp_path):
    path = tmp_path / "a.npz"
    assert wrong_arrays(arrays(path), 3) == ""
    assert "instead of 4" in wrong_arrays(arrays(path), 4)
    assert "not finite" in wrong_arrays(arrays(path, positions=np.full((3, 2, 3), np.nan)), 3)
    assert "not numbers" in wrong_arrays(arrays(path, log_weights=np.array([0.0, np.nan, 1.0])), 3)
    assert "not numbers" in wrong_arrays(arrays(path, log_weights=np.array([0.0, np.inf, 1.0])), 3)
    assert "without a finite energy" in wrong_arrays(arrays(path, log_weights=np.zeros(3)), 3)
