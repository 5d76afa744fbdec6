"""Physical constants and unit conversions: the only place with such a number.

Constants are the 2019 SI / CODATA 2018 exact values.
"""

AVOGADRO = 6.02214076e23  # 1/mol, exact
BOLTZMANN_J_PER_K = 1.380649e-23  # J/K, exact
GAS_CONSTANT = AVOGADRO * BOLTZMANN_J_PER_K * 1e-3  # kJ/(mol K)

KJ_PER_KCAL = 4.184  # exact, thermochemical calorie
NM_PER_ANGSTROM = 0.1


def thermal_energy(temperature: float) -> float:
    """kT in kJ/mol at ``temperature`` in K."""
    return GAS_CONSTANT * temperature
