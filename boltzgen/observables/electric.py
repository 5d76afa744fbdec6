"""Dipole moments of partial charges at the atoms."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from boltzgen.errors import InputError
from boltzgen.observables.geometry import Observable, Positions
from boltzgen.units import DEBYE


def dipole_moment(charges: Float[np.ndarray, " atoms"]) -> Observable:
    """|Σ q r| in debye.

    Parameters
    ----------
    charges
        Partial charges in units of e, whose sum is zero: of MMFF94 by ``forcefields.mmff.mmff_charges``, of
        a system with one NonbondedForce by ``forcefields.parametrise.nonbonded_charges``.

    Raises
    ------
    InputError
        For charges of an ion, whose dipole depends on where the origin is.

    >>> x = np.array([[[0.0, 0.0, 0.0], [0.0, 0.0, 0.1]]])
    >>> float(dipole_moment(np.array([0.5, -0.5]))(x)[0].round(3))
    2.402
    """
    q = np.asarray(charges, dtype=np.float64)
    if abs(q.sum()) > 1e-3:
        raise InputError(f"The charges sum to {q.sum():.3f} e: the dipole of an ion depends on the origin.")

    def value(x: Positions) -> Float[np.ndarray, " samples"]:
        return np.linalg.norm(np.einsum("a,sac->sc", q, x), axis=-1) / DEBYE

    return value
