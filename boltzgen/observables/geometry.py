"""Distances, angles, torsions and sizes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from boltzgen.molecules.dihedrals import dihedrals
from boltzgen.molecules.molecule import Molecule

Positions = Float[np.ndarray, "samples atoms 3"]
Observable = Callable[[Positions], Float[np.ndarray, " samples"]]


def distance(first: int, second: int) -> Observable:
    """Distance of two atoms in nm: of the ends of a chain, or any other pair.

    >>> float(distance(0, 1)(np.array([[[0.0, 0.0, 0.0], [0.0, 0.3, 0.4]]]))[0])
    0.5
    """
    return lambda x: np.linalg.norm(x[:, second] - x[:, first], axis=-1)


def angle(first: int, centre: int, last: int) -> Observable:
    """Angle at ``centre`` in radians."""

    def value(x: Positions) -> Float[np.ndarray, " samples"]:
        a, b = x[:, first] - x[:, centre], x[:, last] - x[:, centre]
        return np.arctan2(np.linalg.norm(np.cross(a, b), axis=-1), (a * b).sum(-1))

    return value


def torsion(first: int, second: int, third: int, last: int) -> Observable:
    """Torsion in radians, in (−π, π]; average functions of it that have its period, like its cosine."""
    return lambda x: dihedrals(x[:, first], x[:, second], x[:, third], x[:, last])


def radius_of_gyration(molecule: Molecule) -> Observable:
    """√(Σ m |r − r₀|² / Σ m) in nm, r₀ the centre of mass."""
    shares = np.asarray(molecule.masses) / np.sum(molecule.masses)

    def value(x: Positions) -> Float[np.ndarray, " samples"]:
        centred = x - np.einsum("a,sac->sc", shares, x)[:, None]
        return np.sqrt(np.einsum("a,sac->s", shares, centred**2))

    return value
