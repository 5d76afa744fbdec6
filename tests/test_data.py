"""The shipped reference ensembles: whole, of the systems they are named after, with their energies."""

import hashlib
from pathlib import Path

import numpy as np
import openmm
import pytest
from openmm import unit

from boltzgen.ensemble import Ensemble
from boltzgen.systems import load_system
from boltzgen.workflows.given_reference import load_reference
from tests.bonded_toy import log_z

DATA = Path(__file__).parents[1] / "data"
BENCHMARKS = "benchmarks"  # records of measurements, no ensemble
OTHERS = (BENCHMARKS, "robustness")  # what is in data/ beside reference ensembles
FOLDERS = sorted(path.name for path in DATA.iterdir() if path.is_dir() and path.name not in OTHERS)


def test_there_are_references():
    assert {"alanine-dipeptide", "alanine-hexapeptide", "bonded-toy", "bonded-toy-rotor"} <= set(FOLDERS)


@pytest.mark.parametrize("name", FOLDERS)
def test_checksums_hold(name):
    for line in (DATA / name / "SHA256SUMS").read_text().splitlines():
        digest, file = line.split()
        assert hashlib.sha256((DATA / name / file).read_bytes()).hexdigest() == digest


@pytest.mark.parametrize("name", FOLDERS)
def test_energies_are_openmms(name):
    system = load_system(name)
    ensemble = load_reference(DATA / name, system, 300.0)
    context = openmm.Context(
        system.system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference")
    )
    for row in range(0, len(ensemble), len(ensemble) // 10):
        context.setPositions(ensemble.positions[row].astype(np.float64))
        energy = context.getState(getEnergy=True).getPotentialEnergy()
        theirs = energy.value_in_unit(unit.kilojoule_per_mole)
        assert ensemble.energies[row] == pytest.approx(theirs, abs=2e-3 * abs(theirs) + 0.02)


@pytest.mark.parametrize("name", ["bonded-toy", "bonded-toy-rotor"])
def test_mean_energy_of_the_toys_is_the_closed_forms(name):
    """⟨U⟩ = kT² d ln Z/dT."""
    ensemble = Ensemble.load(DATA / name)
    system = load_system(name).system
    slope = (log_z(system, 300.3) - log_z(system, 299.7)) / 0.6
    error = ensemble.mean_energy.stderr
    assert abs(ensemble.mean_energy.value - ensemble.kT * 300.0 * slope) < 4 * error
    assert error < 0.3
