"""What a person names becomes a system; a snapshot of every shipped configuration."""

import numpy as np
import openmm
import openmm.app
import pytest

from boltzgen.errors import InputError
from boltzgen.forcefields.mmff import mmff_charges
from boltzgen.systems import build_system, describe_system, load_molecule, load_system, system_names
from tests.forcefields.openmm_reference import energies, terms

# Energies by force (kJ/mol) at the shipped structure, OpenMM Reference platform.
SNAPSHOT: dict[str, tuple[int, dict[str, float]]] = {
    "alanine-dipeptide": (
        22,
        {
            "HarmonicBondForce": 1.8671608,
            "PeriodicTorsionForce": 11.0030334,
            "NonbondedForce": -122.024857,
            "HarmonicAngleForce": 3.4706017,
            "CustomGBForce": -66.1603607,
        },
    ),
    "alanine-dipeptide-vacuum": (
        22,
        {
            "HarmonicBondForce": 1.85043545,
            "PeriodicTorsionForce": 18.2374605,
            "NonbondedForce": -143.208001,
            "HarmonicAngleForce": 3.6580993,
        },
    ),
    "alanine-hexapeptide": (
        62,
        {
            "HarmonicBondForce": 8.86601541,
            "PeriodicTorsionForce": 150.539647,
            "NonbondedForce": -126.781183,
            "GBSAOBCForce": -134.352449,
            "HarmonicAngleForce": 12.328679,
        },
    ),
    "alanine-tetrapeptide": (
        42,
        {
            "HarmonicBondForce": 5.41228114,
            "PeriodicTorsionForce": 92.5716514,
            "NonbondedForce": -126.082987,
            "GBSAOBCForce": -89.6654813,
            "HarmonicAngleForce": 7.17207725,
        },
    ),
    "bonded-toy": (
        6,
        {
            "HarmonicBondForce": 6.82178017e-06,
            "HarmonicAngleForce": 9.7455588e-07,
            "PeriodicTorsionForce": 3.3391361,
        },
    ),
    "bonded-toy-rotor": (
        7,
        {
            "HarmonicBondForce": 5.7103681e-06,
            "HarmonicAngleForce": 2.47101902e-06,
            "PeriodicTorsionForce": 2.71875039,
            "CustomTorsionForce": 1.11505756e-06,
        },
    ),
    "chignolin": (
        138,
        {
            "HarmonicBondForce": 21.7603991,
            "PeriodicTorsionForce": 377.605112,
            "NonbondedForce": -883.734099,
            "HarmonicAngleForce": 66.9023557,
            "CustomGBForce": -1120.50642,
        },
    ),
}


@pytest.mark.parametrize("name", system_names())
def test_shipped_systems_are_what_they_were(name):
    system = load_system(name)
    n_atoms, expected = SNAPSHOT[name]
    x = system.molecule.seed_conformers(1, minimise=False)[0]
    assert system.molecule.n_atoms == system.system.getNumParticles() == n_atoms
    assert terms(system.system, x) == pytest.approx(expected, rel=1e-7, abs=1e-7)
    assert system.system.getNumConstraints() == 0
    assert system.molecule.keeps_stereo(x[None]).all()
    assert describe_system(name).source


def test_every_shipped_system_is_in_the_snapshot():
    assert system_names() == sorted(SNAPSHOT)


@pytest.mark.parametrize(
    ("spec", "forcefield", "solvent", "expected"),
    [
        ("CCCC", None, None, ("mmff94", "vacuum", 14)),
        ("CCO", "MMFF94s", "water", ("mmff94s", "water", 9)),
        ("ACE-ALA-NME", None, "gbn2", ("ff14sb", "gbn2", 22)),
        ("alanine-dipeptide", None, None, ("amber96", "obc1", 22)),
        ("alanine-dipeptide", None, "obc2", ("amber96", "obc2", 22)),
        ("alanine-dipeptide", "ff14sb", None, ("ff14sb", "obc1", 22)),
        ("alanine-dipeptide", "mmff94", "vacuum", ("mmff94", "vacuum", 22)),
    ],
)
def test_specifications(spec, forcefield, solvent, expected):
    system = load_system(spec, forcefield, solvent)
    assert (system.forcefield, system.solvent, system.molecule.n_atoms) == expected
    assert system.system.getNumParticles() == expected[2]


def test_a_system_from_elsewhere_with_its_structure(tmp_path):
    molecule = load_molecule("ACE-ALA-NME")
    built = build_system(molecule, "ff14sb", "obc2")
    x = molecule.seed_conformers(1)
    with (tmp_path / "peptide.pdb").open("w") as file:
        openmm.app.PDBFile.writeFile(molecule.to_openmm_topology(), 10 * x[0], file)
    (tmp_path / "system.xml").write_text(openmm.XmlSerializer.serialize(built.system))
    read = load_system(str(tmp_path / "peptide.pdb"), str(tmp_path / "system.xml"))
    np.testing.assert_array_equal(energies(read.system, x), energies(built.system, x))
    with pytest.raises(InputError, match="already has its solvent"):
        load_system(str(tmp_path / "peptide.pdb"), str(tmp_path / "system.xml"), "obc2")
    with pytest.raises(InputError, match="atoms in order"):
        load_system("CCO", str(tmp_path / "system.xml"))


@pytest.mark.parametrize("smiles", ["CC(=O)[O-]", "C[C@H](F)/C=C/c1ccccc1", "CC[NH3+]"])
def test_a_pdb_that_is_no_peptide_shows_its_bonds(tmp_path, smiles):
    molecule = load_molecule(smiles)
    x = molecule.seed_conformers(1)
    system = openmm.XmlSerializer.clone(build_system(molecule).system)
    nonbonded = openmm.NonbondedForce()
    for charge in mmff_charges(molecule):
        nonbonded.addParticle(charge, 0.1, 0.0)
    system.addForce(nonbonded)
    with (tmp_path / "ligand.pdb").open("w") as file:
        openmm.app.PDBFile.writeFile(molecule.to_openmm_topology(), 10 * x[0], file)
    (tmp_path / "system.xml").write_text(openmm.XmlSerializer.serialize(system))
    read = load_system(str(tmp_path / "ligand.pdb"), str(tmp_path / "system.xml"))
    assert read.molecule.smiles == molecule.smiles
    np.testing.assert_array_equal(read.molecule.atomic_numbers, molecule.atomic_numbers)
    np.testing.assert_array_equal(energies(read.system, x), energies(system, x))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("no-such-system",), "not a SMILES"),
        (("missing.sdf",), "no file"),
        (("CCO", "gaff"), "Unknown force field 'gaff'"),
        (("CCO", "mmff94", "brine"), "Unknown solvent 'brine'"),
        (("CCO", "openff-2.2.1"), "openff-toolkit"),
        (("bonded-toy", None, "obc2"), "energy of its own"),
        (("alanine-tetrapeptide", "mmff94"), "Unknown solvent 'amber99_obc' for mmff94"),
        (("CCO", None, None, True), "Constraints can be released"),
    ],
)
def test_what_is_refused(arguments, sentence):
    with pytest.raises(InputError, match=sentence):
        load_system(*arguments)


def test_unknown_description_lists_the_known():
    with pytest.raises(InputError, match="bonded-toy"):
        describe_system("nothing")
