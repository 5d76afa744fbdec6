"""Basins and regions against embedded conformers whose geometry RDKit sets or measures."""

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import rdDistGeom, rdForceFieldHelpers, rdMolTransforms

from boltzgen.errors import InputError
from boltzgen.molecules.molecule import Molecule
from boltzgen.thermodynamics.basins import basins
from boltzgen.thermodynamics.regions import parse_region


def conformers(molecule, n=60, optimise=True):
    """Positions [n, atoms, 3] in nm of RDKit's conformers, in the molecule's order of atoms."""
    rdmol = Chem.Mol(molecule.rdmol)
    rdDistGeom.EmbedMultipleConfs(rdmol, n, randomSeed=7)
    if optimise:
        rdForceFieldHelpers.MMFFOptimizeMoleculeConfs(rdmol)
    return rdmol, np.array([conformer.GetPositions() for conformer in rdmol.GetConformers()]) / 10


def names(smiles, **settings):
    molecule = Molecule.from_smiles(smiles)
    rdmol, x = conformers(molecule, **settings)
    return molecule, rdmol, x, basins(molecule, x, np.ones(len(x)))


def test_regions_measure_what_rdkit_measures():
    molecule = Molecule.from_smiles("CCCC")
    rdmol, x = conformers(molecule)
    angles = np.array([rdMolTransforms.GetDihedralDeg(c, 0, 1, 2, 3) for c in rdmol.GetConformers()])
    gauche = parse_region("gauche: torsion 0-1-2-3 in [-120, 120]", molecule).holds(x)
    np.testing.assert_array_equal(gauche, np.abs(angles) <= 120)
    around = parse_region("anti: torsion 0-1-2-3 in [150, 210]", molecule).holds(x)
    np.testing.assert_array_equal(around, np.abs(angles) >= 150)
    assert gauche.any() and around.any()  # noqa: PT018
    bonds = np.array([rdMolTransforms.GetAngleDeg(c, 0, 1, 2) for c in rdmol.GetConformers()])
    middle = float(np.median(bonds))
    both = parse_region(f"a: angle 0-1-2 in [0, {middle}] and distance 0-3 in [0, 0.35]", molecule).holds(x)
    lengths = np.array([rdMolTransforms.GetBondLength(c, 0, 3) for c in rdmol.GetConformers()]) / 10
    np.testing.assert_array_equal(both, (bonds <= middle) & (lengths <= 0.35))
    smarts = parse_region("gauche: [CH3][CH2][CH2][CH3] in [-120, 120]", molecule).holds(x)
    np.testing.assert_array_equal(smarts, gauche)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gauche", "is no region"),
        ("a: torsion 0-1-2 in [0, 1]", "A torsion has 4 atoms"),
        ("a: torsion 0-1-2-99 in [0, 1]", "names atom 99"),
        ("a: torsion 0-1-2-3", "no condition"),
        ("a: torsion 0-1-2-3 in [5, 1]", "do not ascend"),
        ("a: torsion 0-1-2-3 in [-, 1]", "no numbers"),
        ("a: CC in [0, 1]", "matches 3 places"),
        ("a: C(( in [0, 1]", "neither a torsion"),
    ],
)
def test_regions_that_make_no_sense_are_refused(text, message):
    with pytest.raises(InputError, match=message):
        parse_region(text, Molecule.from_smiles("CCCC"))


def test_methylcyclohexane_is_axial_or_equatorial_in_chairs():
    """MMFF94's axial chair is about 1.4 kcal/mol above the equatorial one."""
    _, rdmol, _, found = names("CC1CCCCC1", n=200)
    energies = np.array(
        [
            rdForceFieldHelpers.MMFFGetMoleculeForceField(
                rdmol, rdForceFieldHelpers.MMFFGetMoleculeProperties(rdmol), confId=c.GetId()
            ).CalcEnergy()
            for c in rdmol.GetConformers()
        ]
    )
    axial, equatorial = found["C1 on C2 axial"], found["C1 on C2 equatorial"]
    chair = found["ring of C2 chair"]
    np.testing.assert_array_equal(axial | equatorial, chair)
    assert energies[equatorial].min() == energies.min()
    assert 1.0 < energies[axial].min() - energies.min() < 1.9
    if "ring of C2 twist-boat" in found:
        assert energies[found["ring of C2 twist-boat"]].min() - energies.min() > 4.0


def test_amides_are_cis_or_trans_and_chains_anti_or_gauche():
    found = names("CCC(=O)NC", n=100)[3]
    amide = {name.rsplit(" ", 1)[1] for name in found if "–N" in name}
    assert amide <= {"cis", "trans"}
    _, rdmol, _, found = names("ClCCBr", n=100)
    labels = {name.rsplit(" ", 1)[1] for name in found}
    assert labels == {"anti", "gauche+", "gauche−"}
    angles = np.array([rdMolTransforms.GetDihedralDeg(c, 0, 1, 2, 3) for c in rdmol.GetConformers()])
    anti = next(mask for name, mask in found.items() if name.endswith("anti"))
    np.testing.assert_array_equal(anti, np.abs(angles) > 120)


def test_hydrogen_bonds_are_seen_where_there_are_some():
    found = names("OCCCN", n=100)[3]
    patterns = {name for name in found if "…" in name or name == "no hydrogen bond"}
    assert "no hydrogen bond" in patterns
    assert "O1–H…N5" in patterns
    total = sum(found[name].astype(int) for name in patterns)
    np.testing.assert_array_equal(total, 1)
    assert not any("hydrogen" in name for name in names("CCCC")[3])
