"""OpenMM's tabulated functions and CMAP maps as tables: natural or periodic cubic splines along each axis."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import openmm
import torch

from boltzgen.codegen.tables import Table
from boltzgen.energies.readers.bonded import Globals, cluster_term
from boltzgen.energies.terms.cluster import ClusterTerm
from boltzgen.errors import InputError


def spline_table(values: np.ndarray, limits: Sequence[tuple[float, float]], periodic: bool) -> Table:
    """Interpolate values on a uniform grid by a tensor product of cubic splines.

    Parameters
    ----------
    values
        Values at the grid's points, [points of each axis …], both limits included.
    limits
        First and last point of each axis.
    periodic
        Whether the splines are periodic; otherwise they are natural ones. The last value along each axis of a
        periodic table repeats the first.

    Returns
    -------
    Table
        The coefficients of the cubic polynomial in each cell.
    """
    from scipy.interpolate import CubicSpline  # slow to import, and few systems have tables

    spacing = [(high - low) / (n - 1) for n, (low, high) in zip(values.shape, limits, strict=True)]
    coefficients = values
    for axis in range(values.ndim):
        spline = CubicSpline(
            np.arange(values.shape[axis]),
            coefficients,
            axis=axis,
            bc_type="periodic" if periodic else "natural",
        )
        # scipy: [4, intervals, …rest], highest power first; here: power last, intervals back in their place
        by_power = np.moveaxis(spline.c[::-1], 0, -1)
        coefficients = np.moveaxis(by_power, 0, axis)
    return Table(
        torch.tensor(np.ascontiguousarray(coefficients)),
        tuple(low for low, _ in limits),
        tuple(spacing),
        periodic,
    )


def read_table(name: str, function: openmm.TabulatedFunction) -> Table:
    """Read one tabulated function of OpenMM.

    Parameters
    ----------
    name
        Its name, for the message of an error.
    function
        A continuous or discrete function of one to three arguments.

    Returns
    -------
    Table
        A cubic spline where the function is continuous, else a value at each integer.

    Raises
    ------
    InputError
        For a kind of function that is not known.
    """
    periodic = bool(function.getPeriodic())
    if isinstance(function, openmm.Continuous1DFunction):
        values, low, high = function.getFunctionParameters()
        return spline_table(np.array(values), [(low, high)], periodic)
    if isinstance(function, openmm.Continuous2DFunction):
        nx, ny, values, *ends = function.getFunctionParameters()
        return spline_table(_grid(values, nx, ny), _pairs(ends), periodic)
    if isinstance(function, openmm.Continuous3DFunction):
        nx, ny, nz, values, *ends = function.getFunctionParameters()
        return spline_table(_grid(values, nx, ny, nz), _pairs(ends), periodic)
    if isinstance(function, openmm.Discrete1DFunction):
        return _discrete(np.array(function.getFunctionParameters()))
    if isinstance(function, openmm.Discrete2DFunction | openmm.Discrete3DFunction):
        *sizes, values = function.getFunctionParameters()
        return _discrete(_grid(values, *sizes))
    raise InputError(f"the tabulated function {name!r} ({type(function).__name__}) is not of a known kind")


def read_tables(force: openmm.Force) -> dict[str, Table]:
    """Read the tabulated functions of a custom force.

    Parameters
    ----------
    force
        A force that has tabulated functions.

    Returns
    -------
    dict
        The tables by name.

    Raises
    ------
    InputError
        For a kind of function that is not known.
    """
    return {
        force.getTabulatedFunctionName(i): read_table(
            force.getTabulatedFunctionName(i), force.getTabulatedFunction(i)
        )
        for i in range(force.getNumTabulatedFunctions())
    }


def cmap_torsion(force: openmm.CMAPTorsionForce, _: Globals) -> list[ClusterTerm]:
    """Read a CMAPTorsionForce: for each map a periodic spline of two dihedrals in [0, 2π).

    Parameters
    ----------
    force
        The OpenMM force.
    _
        Not used: the force has no global parameters.

    Returns
    -------
    list of ClusterTerm
        One term for each map that is used.
    """
    terms: list[ClusterTerm] = []
    torsions = [force.getTorsionParameters(i) for i in range(force.getNumTorsions())]
    for index in range(force.getNumMaps()):
        size, energies = force.getMapParameters(index)
        values = np.array([float(getattr(e, "_value", e)) for e in energies]).reshape(size, size).T
        table = spline_table(np.pad(values, (0, 1), mode="wrap"), [(0.0, 2 * math.pi)] * 2, periodic=True)
        terms += cluster_term(
            force,
            "map(dihedral(p1,p2,p3,p4),dihedral(p5,p6,p7,p8))",
            [],
            [(t[1:], ()) for t in torsions if t[0] == index],
            particles=8,
            tables={"map": table},
        )
    return terms


def _grid(values: Sequence[float], *sizes: int) -> np.ndarray:
    """OpenMM's flat order (first axis fastest) as an array indexed [x, y, …]."""
    return np.array(values).reshape(*reversed(sizes)).T


def _pairs(ends: Sequence[float]) -> list[tuple[float, float]]:
    return list(zip(ends[::2], ends[1::2], strict=True))


def _discrete(values: np.ndarray) -> Table:
    axes = values.ndim
    return Table(torch.tensor(values).reshape(*values.shape, *[1] * axes), (0.0,) * axes, (1.0,) * axes)
