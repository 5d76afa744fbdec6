"""Puckers against the inverse formulas of Cremer and Pople (1975) and against rings that RDKit builds."""

import math

import numpy as np
import pytest

from boltzgen.molecules.molecule import Molecule
from boltzgen.molecules.puckering import pucker, puckered_rings


def ring(heights, radius=0.145):
    """A regular polygon (nm) whose corners lie at ``heights`` above its plane, turned in space."""
    n = len(heights)
    angles = 2 * math.pi * np.arange(n) / n
    flat = np.stack([radius * np.cos(angles), -radius * np.sin(angles), heights], axis=1)
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    rotation *= np.sign(np.linalg.det(rotation))
    return (flat @ rotation.T + 0.3)[None]


@pytest.mark.parametrize("phase", [0.3, 2.0, 4.4, 6.1])
def test_five_atoms_at_their_heights_have_the_amplitude_and_phase_of_these(phase):
    heights = math.sqrt(2 / 5) * 0.04 * np.cos(phase + 4 * math.pi * np.arange(5) / 5)
    found = pucker(ring(heights))
    assert found.theta is None
    np.testing.assert_allclose(found.amplitude, 0.04, rtol=1e-10)
    np.testing.assert_allclose(found.phase, phase, rtol=1e-10)


@pytest.mark.parametrize("theta", [0.0, 0.4, math.pi / 2, 3.0])
def test_six_atoms_at_their_heights_have_the_angles_of_these(theta):
    phase, amplitude, places = 1.2, 0.06, np.arange(6)
    heights = math.sqrt(1 / 3) * amplitude * math.sin(theta) * np.cos(phase + 2 * math.pi * places / 3)
    heights += math.sqrt(1 / 6) * amplitude * math.cos(theta) * (-1.0) ** places
    found = pucker(ring(heights))
    np.testing.assert_allclose(found.amplitude, amplitude, rtol=1e-10)
    np.testing.assert_allclose(found.theta, theta, atol=1e-9)
    if math.sin(theta) > 0:
        np.testing.assert_allclose(found.phase, phase, rtol=1e-9)


def test_cyclohexane_is_a_chair_of_the_measured_amplitude():
    """0.56 Å is the amplitude of gas-phase electron diffraction (Bastiansen et al. 1973)."""
    molecule = Molecule.from_smiles("CC1CCCCC1")
    (atoms,) = puckered_rings(molecule)
    found = pucker(molecule.seed_conformers(6, seed=1)[:, list(atoms)])
    chairs = np.minimum(found.theta, math.pi - found.theta) < math.radians(15)
    assert chairs.any()
    np.testing.assert_allclose(found.amplitude[chairs], 0.056, atol=0.004)


def test_flat_rings_are_left_out():
    assert puckered_rings(Molecule.from_smiles("c1ccccc1N1CCCC1")) == [(6, 7, 8, 9, 10)]
    assert puckered_rings(Molecule.from_smiles("Cn1cccc1")) == []
