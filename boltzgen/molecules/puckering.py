"""Puckering of rings of five and six atoms (Cremer and Pople, J. Am. Chem. Soc. 97, 1354 (1975))."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from boltzgen.molecules.molecule import Molecule
from boltzgen.molecules.torsions import conformer_torsions

SIZES = (5, 6)


class Pucker(NamedTuple):
    """Puckering of a ring in every frame.

    amplitude: nm. phase: radians, 0 to 2π, of the second harmonic. theta: radians, 0 and π for the two chairs
    of a six-membered ring and π/2 for boats; None for five atoms.
    """

    amplitude: Float[np.ndarray, " frames"]
    phase: Float[np.ndarray, " frames"]
    theta: Float[np.ndarray, " frames"] | None


def puckered_rings(molecule: Molecule) -> list[tuple[int, ...]]:
    """Atoms, in their order along the ring, of the rings of five and six that a conformer torsion lies in."""
    axes = [set(torsion.axis) for torsion in conformer_torsions(molecule) if torsion.kind == "ring"]
    rings = molecule.rdmol.GetRingInfo().AtomRings()
    return [ring for ring in rings if len(ring) in SIZES and any(axis <= set(ring) for axis in axes)]


def pucker(ring: Float[np.ndarray, "frames members 3"]) -> Pucker:
    """Puckering of a ring of five or six atoms at ``ring`` (nm), in their order along it."""
    n = ring.shape[1]
    centred = ring.astype(np.float64) - ring.mean(axis=1, keepdims=True, dtype=np.float64)
    angle = 2 * math.pi * np.arange(n) / n
    normal = np.cross(
        np.einsum("fai,a->fi", centred, np.sin(angle)), np.einsum("fai,a->fi", centred, np.cos(angle))
    )
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    height = np.einsum("fai,fi->fa", centred, normal)
    cosine = math.sqrt(2 / n) * height @ np.cos(2 * angle)
    sine = -math.sqrt(2 / n) * height @ np.sin(2 * angle)
    second, phase = np.hypot(cosine, sine), np.mod(np.arctan2(sine, cosine), 2 * math.pi)
    if n == 5:
        return Pucker(second, phase, None)
    third = height @ (-1.0) ** np.arange(n) / math.sqrt(n)
    return Pucker(np.hypot(second, third), phase, np.arctan2(second, third))
