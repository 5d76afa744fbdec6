"""Observables: functions of positions [n, atoms, 3] in nm that give one value each, for ``Ensemble.mean``.

geometry   Distances, angles, torsions, radius of gyration.
electric   Dipole moments of partial charges.
couplings  ³J couplings by Karplus curves.
surface    Solvent-accessible surface area.
adapters   Functions of mdtraj trajectories and of RDKit conformers as functions of positions.

Any other function of positions does as well: ``ensemble.mean(lambda x: x[:, 0, 2] ** 2)``.
"""

from boltzgen.observables.adapters import of_conformers, of_trajectory
from boltzgen.observables.couplings import KARPLUS, Karplus, coupling
from boltzgen.observables.electric import dipole_moment
from boltzgen.observables.geometry import angle, distance, radius_of_gyration, torsion
from boltzgen.observables.surface import surface_area

__all__ = [
    "KARPLUS",
    "Karplus",
    "angle",
    "coupling",
    "dipole_moment",
    "distance",
    "of_conformers",
    "of_trajectory",
    "radius_of_gyration",
    "surface_area",
    "torsion",
]
