"""What a free energy here means: the one place that says so.

F = −kT ln Z with Z = ∫ exp(−U/kT) dx over configurations alone, in the measure of
``coordinates/internal.py``: Cartesian nm of labelled atoms with the 8π²V of rigid motion divided out, over
all labellings of rotors that the molecule reaches by itself, one order of prochiral labels and the stereo
asked for. Momenta, rigid motion, indistinguishable atoms and quantum mechanics are left out; for a gas they
are added by ``ideal_gas.py``.

Between two states of one molecule (temperature, solvent, force field) the measure is the same and drops out.
Between isomers of one formula momenta drop out too, but each isomer's Z holds ``symmetry_number`` labelled
copies of every configuration, of which nature knows one: −kT ln Z/σ is compared.
"""

from __future__ import annotations

CONVENTION = (
    "F = −kT ln Z of the configurations, Cartesian measure in nm with the 8π²V of rigid motion divided out,"
    " all labellings of rotors, no momenta, no quantum corrections"
)
ISOMER_CONVENTION = (
    "F = −kT ln(Z/σ) of isomers with the same atoms, σ the labellings that each reaches by itself; momenta"
    " and the measure drop out, quantum corrections are left out"
)
IDEAL_GAS_CONVENTION = (
    "ideal gas at 1 bar: classical translation, rotation, vibration and torsion of indistinguishable nuclei,"
    " and a harmonic quantum correction at the main conformers"
)
