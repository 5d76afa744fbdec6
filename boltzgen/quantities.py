"""Numbers with units: OpenMM's quantities are taken wherever a number in a stated unit is.

A plain number means the unit that the parameter states. ``openmm.unit`` is imported only where a quantity is
given, so that reading settings stays light.
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator, Field

from boltzgen.errors import InputError

NAMES = {
    "kelvin": "K",
    "second": "s",
    "picosecond": "ps",
    "per_picosecond": "1/ps",
    "nanometer": "nm",
    "kilocalorie_per_mole": "kcal/mol",
}
"""Units by their names in ``openmm.unit`` (with ``per_`` for its inverse), and as messages write them."""


def in_unit(value: Any, unit: str) -> Any:
    """``value`` as plain numbers in ``unit``.

    Parameters
    ----------
    value
        An OpenMM ``Quantity`` of a number, an array or a list; anything else is returned as it is.
    unit
        A name of ``NAMES``.

    Returns
    -------
    Any
        The number, array or list in ``unit``.

    Raises
    ------
    InputError
        For a quantity of another dimension.

    Examples
    --------
    >>> import openmm.unit
    >>> in_unit(2 * openmm.unit.minute, "second")
    120.0
    >>> in_unit(298.15, "kelvin")
    298.15
    """
    if not hasattr(value, "value_in_unit"):
        return value
    import openmm.unit

    try:
        base = getattr(openmm.unit, unit.removeprefix("per_"))
        return value.value_in_unit(base**-1 if unit.startswith("per_") else base)
    except TypeError as error:
        raise InputError(
            f"A quantity in {value.unit} cannot be read in {NAMES[unit]}: give one of that kind, or plain"
            f" numbers of {NAMES[unit]}."
        ) from error


def positions_in_nm(positions: Any) -> np.ndarray:
    """Positions as an array of numbers.

    Parameters
    ----------
    positions
        [atoms, 3] or [frames, atoms, 3]: an array or a list of vectors in nm, or an OpenMM quantity of one.

    Returns
    -------
    np.ndarray
        [frames, atoms, 3] in nm, float64.

    Raises
    ------
    InputError
        For anything else, and where a number is not finite.
    """
    plain = in_unit(positions, "nanometer")
    try:
        x = np.array(plain, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"Positions cannot be a {type(positions).__name__} that is no array of numbers: give [atoms, 3]"
            " in nm, or a quantity with units."
        ) from error
    if x.ndim not in (2, 3) or x.size == 0 or not np.isfinite(x).all():
        raise InputError(
            f"Positions of the shape {list(x.shape)} are none, or not finite: give [atoms, 3] or"
            " [frames, atoms, 3] in nm."
        )
    return x if x.ndim == 3 else x[None]


def _validator(unit: str) -> BeforeValidator:
    return BeforeValidator(lambda value: in_unit(value, unit))


Kelvin = Annotated[float, _validator("kelvin")]
Seconds = Annotated[float, _validator("second")]
PositiveSeconds = Annotated[float, Field(gt=0), _validator("second")]
Picoseconds = Annotated[float, _validator("picosecond")]
PerPicosecond = Annotated[float, _validator("per_picosecond")]
PositiveKcalPerMole = Annotated[float, Field(gt=0, allow_inf_nan=False), _validator("kilocalorie_per_mole")]
