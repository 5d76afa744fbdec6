"""Constants against those of scipy, and OpenMM's unit conversions."""

import openmm.unit
import pytest
from scipy import constants

from boltzgen import units


def test_constants_are_scipys():
    assert pytest.approx(constants.R / 1000, rel=1e-12) == units.GAS_CONSTANT
    coulomb = constants.e**2 * constants.N_A / (4 * constants.pi * constants.epsilon_0) * 1e9 / 1e3
    assert (
        pytest.approx(coulomb, rel=1e-9) == units.COULOMB_CONSTANT
    )  # the committee's later ε₀ differs by 2e-10
    assert pytest.approx(constants.calorie, rel=1e-12) == units.KJ_PER_KCAL
    assert pytest.approx(constants.angstrom / constants.nano, rel=1e-12) == units.NM_PER_ANGSTROM


def test_thermal_energy_is_openmms():
    kT = openmm.unit.MOLAR_GAS_CONSTANT_R * 310.0 * openmm.unit.kelvin
    in_kilojoules = kT.value_in_unit(openmm.unit.kilojoule_per_mole)
    assert units.thermal_energy(310.0) == pytest.approx(in_kilojoules, rel=1e-6)
