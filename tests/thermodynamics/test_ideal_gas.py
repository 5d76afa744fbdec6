"""Entropies of gases against textbook values, and symmetry numbers."""

import math

import numpy as np
import pytest
import torch

from boltzgen.energies.compiler import compile_system
from boltzgen.energies.target import BoltzmannTarget
from boltzgen.molecules.molecule import Molecule
from boltzgen.systems import load_system
from boltzgen.thermodynamics.ideal_gas import (
    METRES_PER_NM,
    R,
    classical_entropy,
    normal_frequencies,
    quantum_correction,
    rotational_entropy,
    thermal_wavelength,
    translational_entropy,
)
from boltzgen.thermodynamics.symmetry_number import symmetry_number
from boltzgen.units import thermal_energy
from boltzgen.workflows.ideal_gas import is_linear, minimised


def harmonic(smiles, temperature=298.15):
    """Molecule, energy of its minimum (kJ/mol), classical −kT ln of rotation and vibration, and quantum S."""
    system = load_system(smiles)
    target = BoltzmannTarget(compile_system(system.system), temperature)
    masses = np.asarray(system.molecule.masses)
    x = minimised(target, system.molecule.first_conformer)
    hessian = target.hessian(torch.from_numpy(x)[None])[0].numpy() * target.kT
    nu = normal_frequencies(hessian, masses, is_linear(x))
    assert len(nu) == 3 * len(masses) - (5 if is_linear(x) else 6)
    reduced = 6.62607015e-34 / (1.380649e-23 * temperature) * nu
    rotation = rotational_entropy(masses, x, temperature)
    classical = target.kT * (np.log(reduced).sum() - rotation / R)
    vibration = R * np.sum(1 - np.log(reduced)) + quantum_correction(nu, temperature)
    energy = float(target.reduced_energy(torch.from_numpy(x)[None])[0]) * target.kT
    whole = translational_entropy(masses.sum(), temperature) + rotation + vibration
    return system.molecule, energy, classical, whole


@pytest.mark.parametrize(
    ("smiles", "sigma"),
    [
        ("O", 2), ("N", 6), ("C", 12), ("CC", 18), ("CCC", 18), ("CCCC", 18), ("C=C", 4), ("C#C", 2),
        ("c1ccccc1", 12), ("Cc1ccccc1", 6), ("CC(C)(C)C", 972), ("C1CCCCC1", 12), ("O=C=O", 2),
        ("FC(Cl)Br", 1), ("CO", 3), ("C/C=C/C", 18), ("C/C=C\\C", 18), ("CC(=O)C", 18), ("C1CC1", 6),
        ("ClCCCl", 2),
    ],
)  # fmt: skip
def test_symmetry_numbers_are_those_of_rotation_groups_and_rotors(smiles, sigma):
    smiles = smiles.replace("FC(Cl)Br", "F[C@H](Cl)Br")
    assert symmetry_number(Molecule.from_smiles(smiles)) == sigma


def test_argon_has_its_measured_entropy():
    """154.846 J/mol/K at 298.15 K and 1 bar (CODATA key values)."""
    assert translational_entropy(39.948, 298.15) == pytest.approx(154.846, abs=0.005)
    atom = classical_entropy(np.array([39.948]), 0.0, 0.0, 298.15, 1)
    assert atom == pytest.approx(154.846, abs=0.005)


def test_nitrogen_and_water_have_their_rotational_entropies():
    """N2: θ = 2.875 K, so R (ln(T/2θ) + 1); H2O: 43.7 J/mol/K with σ = 2 from its moments of inertia."""
    masses = np.array([14.0031, 14.0031])
    x = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 0.10977]])
    ours = rotational_entropy(masses, x, 298.15) - R * math.log(2)
    assert ours == pytest.approx(R * (math.log(298.15 / (2 * 2.875)) + 1), abs=0.05)
    angle, bond = math.radians(104.5), 0.09584
    water = np.array([[0, 0, 0], [bond, 0, 0], [bond * math.cos(angle), bond * math.sin(angle), 0]])
    ours = rotational_entropy(np.array([15.9949, 1.00783, 1.00783]), water, 298.15) - R * math.log(2)
    assert ours == pytest.approx(43.7, abs=0.2)


def test_oscillators_have_their_quantum_entropy():
    """By finite differences of −kT ln(1/2 sinh(x/2)) and of its classical limit."""
    nu, k, h = np.array([2e13, 9e13]), 1.380649e-23, 6.62607015e-34

    def entropy(f):
        return -(f(298.15 + 0.01) - f(298.15 - 0.01)) / 0.02 * 6.02214076e23

    quantum = entropy(lambda t: k * t * np.sum(np.log(2 * np.sinh(h * nu / (2 * k * t)))))
    classical = entropy(lambda t: k * t * np.sum(np.log(h * nu / (k * t))))
    assert quantum_correction(nu, 298.15) == pytest.approx(quantum - classical, abs=1e-3)
    assert quantum_correction(np.array([0.0, 1e9]), 298.15) == pytest.approx(0.0, abs=1e-6)


def test_a_diatomic_has_its_rigid_rotor_and_oscillator():
    """Z of a stiff spring in closed form; the parts of the classical entropy are then the textbook's."""
    masses, length, stiffness, temperature = np.array([12.0, 16.0]), 0.12, 5e6, 300.0
    kT = thermal_energy(temperature)
    width = math.sqrt(kT / stiffness)
    log_z = math.log(length**2 + width**2) + 0.5 * math.log(2 * math.pi * width**2)
    whole = classical_entropy(masses, -log_z, 0.5, temperature, 1)
    x = np.array([[0, 0, 0], [0, 0, length]])
    reduced = masses.prod() / masses.sum()
    nu = math.sqrt(stiffness * 1000 / 6.02214076e23 / METRES_PER_NM**2 / (reduced * 1e-3 / 6.02214076e23))
    nu /= 2 * math.pi
    vibration = R * (1 - math.log(6.62607015e-34 * nu / (1.380649e-23 * temperature)))
    parts = translational_entropy(masses.sum(), temperature) + rotational_entropy(masses, x, temperature)
    assert whole == pytest.approx(parts + vibration, abs=0.005)
    assert thermal_wavelength(1.00783, 300.0) == pytest.approx(1.0044e-10, rel=1e-3)


@pytest.mark.parametrize(
    ("smiles", "measured"),
    [("C", 186.3), ("CC", 229.2), ("C=C", 219.3), ("O", 188.8), ("C#N", 201.8), ("C#C", 200.9)],
)
def test_harmonic_gases_are_near_their_measured_entropies(smiles, measured):
    """MMFF94 minima: ethane's rotor counts as an oscillator, which leaves 18/3 of its symmetry number."""
    molecule, _, _, entropy = harmonic(smiles)
    sigma = {"CC": 6}.get(smiles, symmetry_number(molecule))
    assert entropy - R * math.log(sigma) == pytest.approx(measured, abs=2.5)
