"""Stereo that a SMILES leaves open, and what only looks so: resonance, cages, badly bent centres."""

import numpy as np
import pytest
from rdkit import Chem

from boltzgen.errors import InputError
from boltzgen.molecules.isomers import stereoisomers
from boltzgen.molecules.molecule import Molecule
from boltzgen.molecules.stereo_check import require_stereo

RESONANT = {
    "methyl ethyl phosphate": "COP(=O)([O-])OCC",
    "the same, labelled": "CO[P@](=O)([O-])OCC",
    "ATP": ("c1nc(c2c(n1)n(cn2)[C@H]3[C@@H]([C@@H]([C@H](O3)COP(=O)([O-])OP(=O)([O-])OP(=O)([O-])[O-])O)O)N"),
    "phosphinate": "CCP(C)(=O)[O-]",
    "sulfinate": "CS(=O)[O-]",
    "sulfonate": "CCS(=O)(=O)[O-]",
    "dithiophosphate": "COP(=S)([S-])OCC",
}
STEREOGENIC = {
    "phosphorothioate": "COP(=O)([S-])OCC",
    "the same, charge on oxygen": "COP(=S)([O-])OCC",
    "phosphoramidate": "COP(C)(=O)N",
    "isotopes": "COP(=O)([18O-])OCC",
    "sulfoximine": "CS(=O)(=N)CC",
    "sulfoxide": "C[S+]([O-])CC",
    "twistane": "C1CC2CC3CCC2CC13",
    "rimantadine": "CC(N)C12CC3CC(CC(C3)C1)C2",
}
ONE_ISOMER = {
    "adamantane": "C1C2CC3CC1CC(C2)C3",
    "2-methyladamantane": "CC1C2CC3CC(C2)CC1C3",
    "memantine": "CC12CC3CC(C1)(CC(C3)(C2)N)C",
    "diamantane": "C1C2CC3C4CC5CC(C14)C(C2)C3C5",
    "cubane": "C12C3C4C1C5C2C3C45",
    "prismane": "C12C3C1C1C2C31",
    "basketane": "C1CC2C3C4C5C3C1C5C24",
    "dodecahedrane": "C12C3C4C5C1C6C7C2C8C3C9C4C1C5C6C2C7C8C9C12",
    "bicyclobutane": "C1C2C1C2",
    "methylbicyclobutane": "C12CC1(C2)C",
    "housane": "C1CC2C1C2",
    "bicyclo[2.1.1]hexane": "C1CC2CC1C2",
    "dimethylspiroheptane": "CC1CC2(C1)CC(C)C2",
}


def orders(smiles, n):
    """``smiles`` with its atoms in ``n`` random orders."""
    rdmol, random = Chem.MolFromSmiles(smiles), np.random.default_rng(0)
    for _ in range(n):
        order = random.permutation(rdmol.GetNumAtoms()).tolist()
        yield Chem.MolToSmiles(Chem.RenumberAtoms(rdmol, order), canonical=False)


@pytest.mark.parametrize("smiles", RESONANT.values(), ids=RESONANT)
def test_what_resonance_makes_equal_is_no_stereo(smiles):
    molecule = Molecule.from_smiles(smiles)
    hetero = {atom.GetIdx() for atom in molecule.rdmol.GetAtoms() if atom.GetSymbol() in "PS"}
    assert not hetero & set(molecule.stereo.centres[:, 0].tolist())
    x = molecule.seed_conformers(1)
    assert molecule.smiles_from_positions(x[0]) == molecule.smiles
    assert require_stereo(molecule, x) == len(x)


@pytest.mark.parametrize("smiles", STEREOGENIC.values(), ids=STEREOGENIC)
def test_what_remains_stereo_is_asked_for_and_kept(smiles):
    with pytest.raises(InputError, match="leaves stereo open"):
        Molecule.from_smiles(smiles)
    isomers = Molecule.stereoisomers(smiles)
    assert len(isomers) == 2
    for isomer in isomers:
        x = isomer.seed_conformers(1)
        assert isomer.smiles_from_positions(x[0]) == isomer.smiles
        assert not isomer.keeps_stereo(x * [1.0, 1.0, -1.0]).any()


@pytest.mark.parametrize("smiles", ONE_ISOMER.values(), ids=ONE_ISOMER)
def test_a_molecule_of_one_isomer_needs_no_labels_in_any_order_of_atoms(smiles):
    for reordered in orders(smiles, 3):
        molecule = Molecule.from_smiles(reordered)
        x = molecule.seed_conformers(2)
        assert molecule.keeps_stereo(x).all()
        assert {molecule.smiles_from_positions(row) for row in x} == {molecule.smiles}
        assert require_stereo(molecule, x) == len(x)


def test_a_flexible_molecule_with_many_open_centres_lists_all_isomers():
    rdmol = Chem.AddHs(Chem.MolFromSmiles("OCC(O)C(O)C(O)C(O)C=O"))
    assert len(stereoisomers(rdmol)) == 16
