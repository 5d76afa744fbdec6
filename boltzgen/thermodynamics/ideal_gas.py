"""Entropy of an ideal gas at 1 bar from the free energy of the configurations, in J/mol/K.

Classically, with V = kT/p a molecule and indistinguishable nuclei (McQuarrie, Statistical Mechanics, 1976):

    q = 8π²V Π Λ_i⁻³ Z/σ,    S/k = ln q + 1 + (3N/2) + ⟨U⟩/kT,    Λ = h/√(2π m kT)

with Z of ``conventions.py``, that of the configurations with the 8π²V of rigid motion divided out (4πV for a
diatomic), and σ the symmetry number. The quantum correction is that of harmonic oscillators.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from boltzgen.units import AVOGADRO, BOLTZMANN_J_PER_K, DALTON, GAS_CONSTANT, PLANCK

STANDARD_PRESSURE = 1e5  # Pa
METRES_PER_NM = 1e-9
R = 1000.0 * GAS_CONSTANT  # J/mol/K
LEAST_REDUCED_FREQUENCY = 1e-4  # hν/kT, below which an oscillator is classical


def translational_entropy(mass: float, temperature: float, pressure: float = STANDARD_PRESSURE) -> float:
    """Sackur–Tetrode: of ``mass`` dalton at ``temperature`` K and ``pressure`` Pa."""
    volume = BOLTZMANN_J_PER_K * temperature / pressure
    return R * (math.log(volume / thermal_wavelength(mass, temperature) ** 3) + 2.5)


def thermal_wavelength(mass: float, temperature: float) -> float:
    """Λ = h/√(2π m kT) in metres of ``mass`` dalton."""
    return PLANCK / math.sqrt(2 * math.pi * mass * DALTON * BOLTZMANN_J_PER_K * temperature)


def rotational_entropy(
    masses: Float[np.ndarray, " atoms"], positions: Float[np.ndarray, "atoms 3"], temperature: float
) -> float:
    """Of a rigid rotor at ``positions`` (nm), classical and without symmetry number."""
    x = (positions - masses @ positions / masses.sum()) * METRES_PER_NM
    weighted = masses * DALTON
    inertia = np.eye(3) * (weighted @ (x**2).sum(axis=1)) - (x.T * weighted) @ x
    moments = np.linalg.eigvalsh(inertia)
    unit = 8 * math.pi**2 * BOLTZMANN_J_PER_K * temperature / PLANCK**2
    if moments[0] < 1e-4 * moments[2]:  # linear
        return R * (math.log(unit * moments[2]) + 1.0)
    return R * (0.5 * math.log(math.pi * float(np.prod(unit * moments))) + 1.5)


def classical_entropy(
    masses: Float[np.ndarray, " atoms"],
    reduced_free_energy: float,
    reduced_energy: float,
    temperature: float,
    symmetry_number: int,
    pressure: float = STANDARD_PRESSURE,
) -> float:
    """Of the whole gas from f = −ln Z (nm) and ⟨U⟩/kT."""
    n = len(masses)
    volume = BOLTZMANN_J_PER_K * temperature / pressure
    rigid = math.log({1: 1.0, 2: 4 * math.pi}.get(n, 8 * math.pi**2))
    wavelengths = sum(math.log(thermal_wavelength(mass, temperature)) for mass in masses)
    # Z is in nm to the power 3N − 3: volume and wavelengths are in metres.
    log_q = (
        rigid
        + math.log(volume)
        - 3 * wavelengths
        - reduced_free_energy
        + (3 * n - 3) * math.log(METRES_PER_NM)
        - math.log(symmetry_number)
    )
    return R * (log_q + 1.0 + 1.5 * n + reduced_energy)


def quantum_correction(frequencies: Float[np.ndarray, " modes"], temperature: float) -> float:
    """Entropy of harmonic oscillators of ``frequencies`` (Hz) minus the classical one."""
    x = PLANCK * np.asarray(frequencies) / (BOLTZMANN_J_PER_K * temperature)
    x = x[x > LEAST_REDUCED_FREQUENCY]
    return R * float(np.sum(x / np.expm1(x) - np.log(-np.expm1(-x)) - (1.0 - np.log(x))))


def normal_frequencies(
    hessian: Float[np.ndarray, "atoms 3 atoms 3"], masses: Float[np.ndarray, " atoms"], linear: bool
) -> Float[np.ndarray, " modes"]:
    """Frequencies in Hz from second derivatives in kJ/mol/nm², without those of rigid motion.

    Modes of negative curvature count as zero.
    """
    scale = np.repeat(masses, 3) ** -0.5
    matrix = hessian.reshape(len(scale), -1) * scale[:, None] * scale
    curvature = np.linalg.eigvalsh(0.5 * (matrix + matrix.T))
    rigid = {1: 3}.get(len(masses), 5 if linear else 6)
    internal = curvature[np.argsort(np.abs(curvature))[rigid:]]
    # kJ/mol/nm²/dalton to 1/s²
    unit = 1000.0 / AVOGADRO / METRES_PER_NM**2 / DALTON
    return np.sqrt(internal.clip(min=0.0) * unit) / (2 * math.pi)
