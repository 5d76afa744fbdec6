"""MMFF94 as OpenMM forces against RDKit's own energies."""

from pathlib import Path

import numpy as np
import pytest
from rdkit.Chem import rdForceFieldHelpers

from boltzgen.errors import InputError
from boltzgen.forcefields.mmff import mmff_properties, mmff_system
from boltzgen.molecules.molecule import Molecule
from boltzgen.molecules.stereo import conformer
from boltzgen.units import KJ_PER_KCAL
from tests.forcefields.openmm_reference import energies

LINES = [line.split() for line in (Path(__file__).parents[1] / "molecules.smi").read_text().splitlines()]
SMILES = {name: smiles for smiles, name in LINES}


def rdkit_mmff(molecule, positions, variant):
    """kJ/mol [n] of RDKit's MMFF implementation."""
    properties = mmff_properties(molecule, variant)
    found = []
    for x in positions:
        rdmol = type(molecule.rdmol)(molecule.rdmol)
        rdmol.RemoveAllConformers()
        rdmol.AddConformer(conformer(x), assignId=True)
        found.append(rdForceFieldHelpers.MMFFGetMoleculeForceField(rdmol, properties).CalcEnergy())
    return np.array(found) * KJ_PER_KCAL


def five_conformers(molecule):
    """Two relaxed conformers and three with normal displacements of 0.05, 0.1 and 0.2 Å."""
    seeds = molecule.seed_conformers(2, seed=7)
    random = np.random.default_rng(11)
    distorted = [seeds[0] + 0.1 * width * random.normal(size=seeds[0].shape) for width in (0.05, 0.1, 0.2)]
    return np.concatenate([seeds, np.array(distorted)])


@pytest.mark.parametrize("variant", ["MMFF94", "MMFF94s"])
@pytest.mark.parametrize("name", sorted(set(SMILES) - {"hydrogen"}))
def test_energy_equals_rdkit(name, variant):
    molecule = Molecule.stereoisomers(SMILES[name])[0]
    positions = five_conformers(molecule)
    expected = rdkit_mmff(molecule, positions, variant)
    actual = energies(mmff_system(molecule, variant), positions)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-6 * KJ_PER_KCAL)


def test_every_atom_pair_and_force_is_finite_in_a_clash():
    molecule = Molecule.from_smiles("CC(=O)Nc1ccccc1C#N")
    random = np.random.default_rng(3)
    seed = molecule.seed_conformers(1)[0]
    flat = seed * np.array([1.0, 1.0, 0.0])
    clashing = np.array([flat, 0.3 * seed, seed + 0.1 * random.normal(size=seed.shape)])
    assert np.isfinite(energies(mmff_system(molecule), clashing)).all()


@pytest.mark.parametrize(("smiles", "reason"), [("[H][H]", "bonding pattern"), ("CB(O)O", "element B")])
def test_missing_parameters_are_named(smiles, reason):
    with pytest.raises(InputError, match=reason):
        mmff_system(Molecule.from_smiles(smiles))


def test_unknown_variant_lists_the_known():
    with pytest.raises(InputError, match="MMFF94s"):
        mmff_system(Molecule.from_smiles("CC"), "MMFF95")
