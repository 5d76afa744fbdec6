"""Closed forms for the shipped toy: an unbranched chain with bonded terms only."""

import numpy as np
from scipy.integrate import quad

from boltzgen.units import thermal_energy


def log_z(system, temperature):
    """ln Z over b² db sin θ dθ dφ (nm, radian; rigid motion divided out) by one-dimensional quadratures."""
    kT = thermal_energy(temperature)
    bonds, angles, torsions = (system.getForce(k) for k in range(3))
    total = 0.0
    for k in range(bonds.getNumBonds()):
        _, _, length, stiffness = bonds.getBondParameters(k)
        total += _harmonic(lambda b: b**2, length._value, stiffness._value / kT, (0, 1))
    for k in range(angles.getNumAngles()):
        *_, angle, stiffness = angles.getAngleParameters(k)
        total += _harmonic(np.sin, angle._value, stiffness._value / kT, (0, np.pi))
    terms: dict[tuple, list[tuple]] = {}
    for k in range(torsions.getNumTorsions()):
        *atoms, periodicity, phase, barrier = torsions.getTorsionParameters(k)
        terms.setdefault(tuple(atoms), []).append((periodicity, phase._value, barrier._value / kT))
    for rows in terms.values():
        phi = np.linspace(-np.pi, np.pi, 4096, endpoint=False)  # a periodic integrand: exact to rounding
        u = sum(barrier * (1 + np.cos(n * phi - phase)) for n, phase, barrier in rows)
        total += np.log(2 * np.pi * np.mean(np.exp(-u)))
    return total


def _harmonic(measure, centre, stiffness, bounds):
    """ln ∫ measure(x) exp(−½ stiffness (x − centre)²) dx."""
    width = 12 / np.sqrt(stiffness)
    low, high = max(bounds[0], centre - width), min(bounds[1], centre + width)
    value, _ = quad(
        lambda x: measure(x) * np.exp(-0.5 * stiffness * (x - centre) ** 2), low, high, epsabs=0, epsrel=1e-12
    )
    return np.log(value)
