"""OpenMM's custom forces over fixed groups of atoms: their own expression strings as cluster terms."""

from __future__ import annotations

import math
from collections.abc import Callable

import openmm

from boltzgen.energies.readers.bonded import Globals, cluster_term
from boltzgen.energies.readers.tabulated import read_tables
from boltzgen.energies.terms.cluster import ClusterTerm
from boltzgen.errors import InputError


def constants_of(force: openmm.Force, given: Globals) -> dict[str, float]:
    """Look up the global parameters of a custom force: the values given, else the force's defaults.

    Parameters
    ----------
    force
        A force that has global parameters.
    given
        Values by name, in OpenMM's units; names that the force does not have are ignored.

    Returns
    -------
    dict
        The value of each global parameter of the force by its name.

    Raises
    ------
    InputError
        Where a value is not finite.
    """
    found = {}
    for i in range(force.getNumGlobalParameters()):
        name = force.getGlobalParameterName(i)
        found[name] = float(given.get(name, force.getGlobalParameterDefaultValue(i)))
        if not math.isfinite(found[name]):
            raise InputError(f"{force.getName()}: global parameter {name} is {found[name]}; give a number")
    return found


def _names(count: int, name: Callable[[int], str]) -> list[str]:
    return [name(i) for i in range(count)]


def custom_bond(force: openmm.CustomBondForce, given: Globals) -> list[ClusterTerm]:
    """Read a CustomBondForce: its own energy expression of the distance r of two atoms.

    Parameters
    ----------
    force
        The OpenMM force.
    given
        Values of global parameters by name, in OpenMM's units, instead of the force's defaults.

    Returns
    -------
    list of ClusterTerm
        One term; none where the force acts on nothing.

    Raises
    ------
    InputError
        Where a parameter is not finite.
    """
    rows = [force.getBondParameters(i) for i in range(force.getNumBonds())]
    return cluster_term(
        force,
        force.getEnergyFunction() + "; r=distance(p1,p2)",
        _names(force.getNumPerBondParameters(), force.getPerBondParameterName),
        [(r[:2], r[2]) for r in rows],
        2,
        constants_of(force, given),
    )


def custom_angle(force: openmm.CustomAngleForce, given: Globals) -> list[ClusterTerm]:
    """Read a CustomAngleForce: its own energy expression of the angle theta of three atoms.

    Parameters
    ----------
    force
        The OpenMM force.
    given
        Values of global parameters by name, in OpenMM's units, instead of the force's defaults.

    Returns
    -------
    list of ClusterTerm
        One term; none where the force acts on nothing.

    Raises
    ------
    InputError
        Where a parameter is not finite.
    """
    rows = [force.getAngleParameters(i) for i in range(force.getNumAngles())]
    return cluster_term(
        force,
        force.getEnergyFunction() + "; theta=angle(p1,p2,p3)",
        _names(force.getNumPerAngleParameters(), force.getPerAngleParameterName),
        [(r[:3], r[3]) for r in rows],
        3,
        constants_of(force, given),
    )


def custom_torsion(force: openmm.CustomTorsionForce, given: Globals) -> list[ClusterTerm]:
    """Read a CustomTorsionForce: its own energy expression of the dihedral angle theta of four atoms.

    Parameters
    ----------
    force
        The OpenMM force.
    given
        Values of global parameters by name, in OpenMM's units, instead of the force's defaults.

    Returns
    -------
    list of ClusterTerm
        One term; none where the force acts on nothing.

    Raises
    ------
    InputError
        Where a parameter is not finite.
    """
    rows = [force.getTorsionParameters(i) for i in range(force.getNumTorsions())]
    return cluster_term(
        force,
        force.getEnergyFunction() + "; theta=dihedral(p1,p2,p3,p4)",
        _names(force.getNumPerTorsionParameters(), force.getPerTorsionParameterName),
        [(r[:4], r[4]) for r in rows],
        4,
        constants_of(force, given),
    )


def custom_compound_bond(force: openmm.CustomCompoundBondForce, given: Globals) -> list[ClusterTerm]:
    """Read a CustomCompoundBondForce: its own energy expression of the particles of a group.

    Parameters
    ----------
    force
        The OpenMM force.
    given
        Values of global parameters by name, in OpenMM's units, instead of the force's defaults.

    Returns
    -------
    list of ClusterTerm
        One term; none where the force acts on nothing.

    Raises
    ------
    InputError
        Where a parameter is not finite, or a tabulated function is not of a known kind.
    """
    rows = [tuple(force.getBondParameters(i)) for i in range(force.getNumBonds())]
    return cluster_term(
        force,
        force.getEnergyFunction(),
        _names(force.getNumPerBondParameters(), force.getPerBondParameterName),
        rows,
        force.getNumParticlesPerBond(),
        constants_of(force, given),
        read_tables(force),
    )


def custom_external(force: openmm.CustomExternalForce, given: Globals) -> list[ClusterTerm]:
    """Read a CustomExternalForce: its own energy expression of the position x, y, z of an atom.

    Parameters
    ----------
    force
        The OpenMM force.
    given
        Values of global parameters by name, in OpenMM's units, instead of the force's defaults.

    Returns
    -------
    list of ClusterTerm
        One term; none where the force acts on nothing.

    Raises
    ------
    InputError
        Where a parameter is not finite.
    """
    rows = [force.getParticleParameters(i) for i in range(force.getNumParticles())]
    return cluster_term(
        force,
        force.getEnergyFunction() + "; x=x1; y=y1; z=z1",
        _names(force.getNumPerParticleParameters(), force.getPerParticleParameterName),
        [((r[0],), r[1]) for r in rows],
        1,
        constants_of(force, given),
    )
