"""Solvent-accessible surface areas, by mdtraj."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from boltzgen.molecules.conversion import to_mdtraj
from boltzgen.molecules.molecule import Molecule
from boltzgen.observables.geometry import Observable, Positions

WATER_RADIUS = 0.14  # nm
POINTS = 960  # on the sphere of each atom


def surface_area(molecule: Molecule, probe_radius: float = WATER_RADIUS) -> Observable:
    """Area in nm² that the centre of a probe can reach (Shrake & Rupley, J. Mol. Biol. 79 (1973) 351)."""
    import mdtraj

    def value(x: Positions) -> Float[np.ndarray, " samples"]:
        trajectory = to_mdtraj(molecule, np.asarray(x, dtype=np.float32))
        areas = mdtraj.shrake_rupley(trajectory, probe_radius=probe_radius, n_sphere_points=POINTS)
        return areas.sum(axis=1, dtype=np.float64)

    return value
