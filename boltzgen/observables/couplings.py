"""³J couplings of nuclear magnetic resonance from torsions, by Karplus curves.

Averages are over conformers, which interchange faster than the coupling: the mean of the curve, not the curve
of the mean torsion.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from boltzgen.observables.geometry import Observable, Positions, torsion


@dataclass(frozen=True)
class Karplus:
    """³J = a cos²(τ + shift) + b cos(τ + shift) + c in Hz; the shift in radians."""

    a: float
    b: float
    c: float
    shift: float = 0.0


KARPLUS = {
    # Vögeli, Ying, Grishaev & Bax, JACS 129 (2007) 9377: of φ = C–N–Cα–C
    "HN-HA": Karplus(8.40, -1.36, 0.33, -math.pi / 3),
    # Haasnoot, de Leeuw & Altona, Tetrahedron 36 (1980) 2783, without electronegative groups: of H–C–C–H
    "H-C-C-H": Karplus(13.70, -0.73, 0.0),
}
"""Published curves by name."""


def coupling(curve: Karplus, atoms: tuple[int, int, int, int]) -> Observable:
    """³J in Hz of the torsion of four ``atoms``, which the curve was fitted for."""
    angle = torsion(*atoms)

    def value(x: Positions) -> Float[np.ndarray, " samples"]:
        cosine = np.cos(angle(x) + curve.shift)
        return curve.a * cosine**2 + curve.b * cosine + curve.c

    return value
