"""The proper torsion of four points."""

from __future__ import annotations

import numpy as np


def dihedrals(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> np.ndarray:
    """Torsions a–b–c–d [...] in radians, in (−π, π], of points [..., 3].

    IUPAC sign: positive where, seen along b→c, a turns clockwise onto d.
    """
    first, axis, last = b - a, c - b, d - c
    normal, far_normal = np.cross(first, axis), np.cross(axis, last)
    sine = np.linalg.norm(axis, axis=-1) * (first * far_normal).sum(-1)
    return np.arctan2(sine, (normal * far_normal).sum(-1))
