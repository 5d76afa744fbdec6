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
    (tmp_path / "text.txt").write_text("positions")
    with pytest.raises(InputError, match="no kind known"):
        conformer_energies("CCO", tmp_path / "text.txt")
