"""Closed forms of ln Z for the shipped toys: a chain, and a chain with a symmetric rotor."""

import numpy as np
from scipy.integrate import quad

from boltzgen.units import thermal_energy


def log_z(system, temperature):
    """ln Z over b² db sin θ dθ dφ (nm, radian; rigid motion divided out) by quadrature.

    Atoms are labelled; a rotor's three atoms keep one order of the two about its axis.
    """
    kT = thermal_energy(temperature)
    bonds, angles, torsions, *spokes = system.getForces()
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
    rotor = sorted(spokes[0].getTorsionParameters(k)[0] for k in range(3)) if spokes else []
    for atoms, rows in terms.items():
        if atoms[3] not in rotor:
            total += _periodic(rows)
    if rotor:
        (stiffness,) = spokes[0].getTorsionParameters(0)[4]
        (rows,) = {tuple(rows) for atoms, rows in terms.items() if atoms[3] in rotor}
        total += _rotor(rows, stiffness / kT)
    return total


def _periodic(rows):
    """ln ∫ exp(−Σ V (1 + cos(nφ − φ₀))) dφ; a periodic integrand on a lattice is exact to rounding."""
    phi = np.linspace(-np.pi, np.pi, 4096, endpoint=False)
    u = sum(barrier * (1 + np.cos(n * phi - phase)) for n, phase, barrier in rows)
    return np.log(2 * np.pi * np.mean(np.exp(-u)))


def _rotor(rows, stiffness):
    """ln of half the integral over three azimuths, each with ``rows``, each pair held 120° apart."""
    phi = np.linspace(-np.pi, np.pi, 144, endpoint=False)
    alone = sum(barrier * (1 + np.cos(n * phi - phase)) for n, phase, barrier in rows)
    pair = stiffness * (np.cos(phi[:, None] - phi) + 0.5) ** 2
    u = alone[:, None, None] + alone[:, None] + alone
    u = u + pair[:, :, None] + pair[:, None, :] + pair[None]
    return np.log((2 * np.pi) ** 3 * np.mean(np.exp(-u)) / 2)


def _harmonic(measure, centre, stiffness, bounds):
    """ln ∫ measure(x) exp(−½ stiffness (x − centre)²) dx."""
    width = 12 / np.sqrt(stiffness)
    low, high = max(bounds[0], centre - width), min(bounds[1], centre + width)
    value, _ = quad(
        lambda x: measure(x) * np.exp(-0.5 * stiffness * (x - centre) ** 2), low, high, epsabs=0, epsrel=1e-12
    )
    return np.log(value)
