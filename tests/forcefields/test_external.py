"""Serialized systems from elsewhere: what is taken and what is refused."""

import re

import numpy as np
import openmm
import openmm.app
import pytest

from boltzgen.errors import InputError
from boltzgen.forcefields.external import read_system, require_finite_energy, require_matching
from boltzgen.forcefields.mmff import mmff_system
from boltzgen.forcefields.parametrise import parametrise
from boltzgen.molecules.molecule import Molecule
from tests.forcefields.openmm_reference import energies


@pytest.fixture
def molecule():
    return Molecule.from_smiles("CCO")


def write(path, system):
    path.write_text(openmm.XmlSerializer.serialize(system))
    return path


def test_a_written_system_comes_back_equal(tmp_path, molecule):
    system = mmff_system(molecule)
    x = molecule.seed_conformers(2)
    read = read_system(write(tmp_path / "system.xml", system))
    require_matching(read, molecule, str(tmp_path))
    np.testing.assert_array_equal(energies(read, x), energies(system, x))


def test_constraints_are_refused_or_released(tmp_path, molecule):
    system = mmff_system(molecule)
    i, j = molecule.bonds[0]
    system.addConstraint(i, j, 0.15)
    path = write(tmp_path / "system.xml", system)
    with pytest.raises(InputError, match="constrains 1 distances"):
        read_system(path)
    assert read_system(path, release_constraints=True).getNumConstraints() == 0


def test_constraints_that_alone_hold_atoms_are_not_released(tmp_path):
    molecule = Molecule.from_sequence("ACE-ALA-NME")
    field = openmm.app.ForceField("amber14/protein.ff14SB.xml")
    system = field.createSystem(molecule.to_openmm_topology(), constraints=openmm.app.HBonds)
    path = write(tmp_path / "system.xml", system)
    with pytest.raises(InputError, match="by a constraint alone"):
        read_system(path, release_constraints=True)


def test_repartitioned_hydrogen_masses_are_taken(tmp_path, molecule):
    system = mmff_system(molecule)
    system.setParticleMass(2, molecule.masses[2] - 2)
    system.setParticleMass(8, molecule.masses[8] + 2)
    require_matching(read_system(write(tmp_path / "system.xml", system)), molecule, str(tmp_path))


def with_box(system):
    force = openmm.NonbondedForce()
    force.setNonbondedMethod(openmm.NonbondedForce.PME)
    for _ in range(system.getNumParticles()):
        force.addParticle(0, 0.1, 0)
    system.addForce(force)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda system: system.addParticle(1.0), "10 particles"),
        (lambda system: system.setParticleMass(2, 0.0), "particle 2 the mass 0"),
        (lambda system: system.setParticleMass(2, 12.0), "one atom order"),
        (lambda system: system.addForce(openmm.MonteCarloBarostat(1, 300)), "barostat"),
        (with_box, "periodic"),
        (
            lambda system: system.setVirtualSite(8, openmm.TwoParticleAverageSite(0, 1, 0.5, 0.5)),
            "virtual site",
        ),
    ],
)
def test_unusable_systems_are_named(tmp_path, molecule, spoil, sentence):
    system = mmff_system(molecule)
    spoil(system)
    with pytest.raises(InputError, match=sentence):
        require_matching(read_system(write(tmp_path / "system.xml", system)), molecule, str(tmp_path))


def test_unreadable_files_are_named(tmp_path, molecule):
    text = openmm.XmlSerializer.serialize(mmff_system(molecule))
    (tmp_path / "word.xml").write_text(re.sub(r'mass="[\d.]+"', 'mass="heavy"', text, count=1))
    (tmp_path / "deep.xml").write_text(re.sub(r'param1="[-\d.e]+"', 'param1="stiff"', text, count=1))
    for number in ("nan", "inf", "-nan", "1_000"):
        (tmp_path / f"{number}.xml").write_text(
            re.sub(r'param1="[-\d.e]+"', f'param1="{number}"', text, count=1)
        )
        with pytest.raises(InputError, match=f'param1="{number}" in <'):
            read_system(tmp_path / f"{number}.xml")
    without = re.sub(r"<EnergyParameterDerivatives/>", "", (tmp_path / "deep.xml").read_text())
    (tmp_path / "lacking.xml").write_text(without)
    (tmp_path / "bytes.xml").write_bytes(b"\xff\xfe<System")
    (tmp_path / "cut.xml").write_text(text[: len(text) // 2])
    (tmp_path / "other.xml").write_text(openmm.XmlSerializer.serialize(openmm.VerletIntegrator(0.001)))
    for name in ("word.xml", "deep.xml", "lacking.xml", "bytes.xml", "cut.xml", "other.xml", "missing.xml"):
        with pytest.raises(InputError, match=name):
            read_system(tmp_path / name)


def test_parameters_that_give_no_energy_are_refused(molecule):
    system = mmff_system(molecule)
    bonds = openmm.HarmonicBondForce()
    bonds.addBond(0, 1, 0.15, float("nan"))
    system.addForce(bonds)
    with pytest.raises(InputError, match="nan"):
        require_finite_energy(system, molecule, "The system")


class RunsWhenRead:
    """A function whose pickle creates a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")

    def __call__(self, state):
        return 0.0, np.zeros((9, 3))


def nothing(xml):
    return xml


def in_a_comment(xml):
    return xml.replace("<Forces>", "<Forces><!-- > ").replace("</Forces>", "--></Forces>")


def by_numbers(xml):
    return xml.replace("PythonForce", "Python&#70;orce")


def nested(xml):
    start, end = xml.index("<Force "), xml.index("</Forces>")
    outer = '<Force type="CustomCVForce" version="1" forceGroup="0" energy="a">'
    return (
        f'{xml[:start]}{outer}<CollectiveVariables><CollectiveVariable name="a">{xml[start:end]}'
        f"</CollectiveVariable></CollectiveVariables></Force>{xml[end:]}"
    )


@pytest.mark.parametrize("disguise", [nothing, in_a_comment, by_numbers, nested])
def test_code_in_a_file_is_not_run(tmp_path, molecule, disguise):
    system = openmm.System()
    for mass in molecule.masses:
        system.addParticle(mass)
    system.addForce(openmm.PythonForce(RunsWhenRead(tmp_path / "ran")))
    xml = openmm.XmlSerializer.serialize(system)
    (tmp_path / "ran").unlink(missing_ok=True)
    (tmp_path / "system.xml").write_text(disguise(xml))
    if disguise is in_a_comment:  # no force at all to one who reads XML by its rules
        assert read_system(tmp_path / "system.xml").getNumForces() == 0
    else:
        with pytest.raises(InputError, match="PythonForce"):
            read_system(tmp_path / "system.xml")
    assert not (tmp_path / "ran").exists()


def test_gaff_without_its_tools_is_one_sentence(monkeypatch):
    monkeypatch.setattr("boltzgen.forcefields.gaff._is_there", lambda package: package != "openmmforcefields")
    with pytest.raises(InputError, match="needs openmmforcefields, which"):
        parametrise(Molecule.from_smiles("CCO"), "gaff2", "vacuum")
