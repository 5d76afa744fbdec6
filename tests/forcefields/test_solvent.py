"""Implicit solvent for small molecules: Born's ion, OpenMM's own OBC2, and the sign and size of hydration."""

import numpy as np
import openmm
import pytest
from openmm.app.internal.customgbforces import GBSAOBC2Force

from boltzgen.errors import InputError
from boltzgen.forcefields.mmff import mmff_charges
from boltzgen.forcefields.parametrise import parametrise
from boltzgen.forcefields.solvent import add_solvent
from boltzgen.molecules.molecule import Molecule
from boltzgen.units import KJ_PER_KCAL
from tests.forcefields.openmm_reference import energies, terms

COULOMB = 138.935457  # kJ nm/(mol e²)


def solvation(smiles, solvent):
    molecule = Molecule.from_smiles(smiles)
    x = molecule.seed_conformers(1, seed=1)[0]
    return terms(parametrise(molecule, "mmff94", solvent), x)["implicit solvent"]


def test_single_ion_is_borns():
    molecule = Molecule.from_smiles("[Cl-]")
    system = openmm.System()
    system.addParticle(35.45)
    add_solvent(system, molecule.to_openmm_topology(), np.array([-1.0]), "obc2")
    born, surface = 0.17 - 0.009, 28.3919551 * (0.17 + 0.14) ** 2 * (0.17 / (0.17 - 0.009)) ** 6
    expected = -0.5 * COULOMB * (1 - 1 / 78.5) / born + surface
    assert energies(system, np.zeros((1, 1, 3)))[0] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("smiles", ["CCO", "CC(=O)[O-]", "c1ccccc1Cl", "CS(=O)(=O)N"])
def test_obc2_equals_openmm_custom_force(smiles):
    molecule = Molecule.from_smiles(smiles)
    topology = molecule.to_openmm_topology()
    force = GBSAOBC2Force(SA="ACE")
    for charge, parameters in zip(
        mmff_charges(molecule), GBSAOBC2Force.getStandardParameters(topology), strict=True
    ):
        force.addParticle([charge, *parameters])
    force.finalize()
    system = openmm.System()
    for mass in molecule.masses:
        system.addParticle(mass)
    system.addForce(force)
    x = molecule.seed_conformers(1, seed=1)
    assert solvation(smiles, "obc2") == pytest.approx(energies(system, x)[0], rel=1e-6)
    assert solvation(smiles, "water") == solvation(smiles, "obc2")


@pytest.mark.parametrize("solvent", ["obc1", "obc2", "gbn2"])
def test_hydration_orders_molecules_as_chemistry_does(solvent):
    """kcal/mol; experiment (FreeSolv): hexane +2.5, ethanol −5.0, acetamide −9.7; acetate about −80."""
    hexane, ethanol, acetamide, acetate = (
        solvation(smiles, solvent) / KJ_PER_KCAL for smiles in ("CCCCCC", "CCO", "CC(N)=O", "CC(=O)[O-]")
    )
    assert 0 < hexane < 5
    assert -12 < ethanol < 0
    assert acetamide < ethanol
    assert -100 < acetate < -60


def test_solvent_leaves_the_other_terms_alone():
    molecule = Molecule.from_smiles("CC(=O)NC")
    x = molecule.seed_conformers(1, seed=1)[0]
    dry, wet = (terms(parametrise(molecule, "mmff94", name), x) for name in ("vacuum", "gbn2"))
    assert {name: wet[name] for name in dry} == dry
    assert set(wet) - set(dry) == {"implicit solvent"}


def test_unknown_names_list_the_known():
    molecule = Molecule.from_smiles("CC")
    with pytest.raises(InputError, match="vacuum, obc1, obc2, gbn2, water"):
        parametrise(molecule, "mmff94", "brine")
    with pytest.raises(InputError, match="mmff94, mmff94s, ff14sb"):
        parametrise(molecule, "gaff", "vacuum")
