"""Physical constants and unit conversions: the only place with such a number.

Constants are the 2019 SI / CODATA 2018 exact values.
"""

import math

AVOGADRO = 6.02214076e23  # 1/mol, exact
BOLTZMANN_J_PER_K = 1.380649e-23  # J/K, exact
PLANCK = 6.62607015e-34  # J s, exact
DALTON = 1e-3 / AVOGADRO  # kg, to the ten digits that the molar mass constant is known to be 1 g/mol
GAS_CONSTANT = AVOGADRO * BOLTZMANN_J_PER_K * 1e-3  # kJ/(mol K)
ELEMENTARY_CHARGE = 1.602176634e-19  # C, exact
VACUUM_PERMITTIVITY = 8.8541878128e-12  # F/m, CODATA 2018
# e² N_A / 4πε₀ in kJ nm / (mol e²)
COULOMB_CONSTANT = ELEMENTARY_CHARGE**2 * AVOGADRO / (4 * math.pi * VACUUM_PERMITTIVITY) * 1e6
HARTREE = 4.3597447222071e-18 * AVOGADRO * 1e-3  # kJ/mol, CODATA 2018
ELECTRONVOLT = ELEMENTARY_CHARGE * AVOGADRO * 1e-3  # kJ/mol
BOHR = 0.0529177210903  # nm, CODATA 2018

DEBYE = 1e-21 / 299_792_458 / ELEMENTARY_CHARGE * 1e9  # e nm; 1 D is 1e-21 C m²/s over the speed of light

KJ_PER_KCAL = 4.184  # exact, thermochemical calorie
NM_PER_ANGSTROM = 0.1


def thermal_energy(temperature: float) -> float:
    """kT in kJ/mol at ``temperature`` in K."""
    return GAS_CONSTANT * temperature
