"""OpenMM's own bonded forces as cluster terms, spelled in OpenMM's expression language."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import openmm
import torch
from openmm import unit

from boltzgen.codegen.tables import Table
from boltzgen.energies.terms.cluster import ClusterTerm
from boltzgen.errors import InputError

Globals = Mapping[str, float]


def number(value: object) -> float:
    """Convert a quantity of OpenMM to a float in OpenMM's unit system (nm, kJ/mol, radian, e).

    Parameters
    ----------
    value
        A quantity with a unit, or a number that is already in these units.

    Returns
    -------
    float
        The number without its unit.
    """
    return float(value.value_in_unit_system(unit.md_unit_system)) if unit.is_quantity(value) else float(value)  # type: ignore[attr-defined, arg-type]


def cluster_term(
    force: openmm.Force,
    expression: str,
    names: Sequence[str],
    rows: Iterable[tuple[Sequence[int], Sequence[object]]],
    particles: int,
    constants: Globals | None = None,
    tables: Mapping[str, Table] | None = None,
) -> list[ClusterTerm]:
    """Describe a force as one term, or as none where it acts on nothing.

    Parameters
    ----------
    force
        The OpenMM force, which gives the term its name.
    expression
        Energy of one cluster in kJ/mol, in the language of OpenMM's CustomCompoundBondForce over p1, p2, ….
    names
        Names of the parameters in the expression.
    rows
        Atoms and parameters of each cluster, in OpenMM's units.
    particles
        Number of atoms of a cluster.
    constants
        Global parameters by name.
    tables
        Tabulated functions by name.

    Returns
    -------
    list of ClusterTerm
        The term; empty without clusters.

    Raises
    ------
    InputError
        Where a parameter is not finite.
    """
    rows = list(rows)
    if not rows:
        return []
    atoms = torch.tensor([list(r[0]) for r in rows], dtype=torch.int64).reshape(len(rows), particles)
    values = torch.tensor([[number(v) for v in r[1]] for r in rows], dtype=torch.float64)
    for row, value in zip(rows, values, strict=True):
        if not torch.isfinite(value).all():
            given = dict(zip(names, value.tolist(), strict=True))
            raise InputError(f"{force.getName()}: atoms {list(row[0])} have parameters {given}; give numbers")
    return [
        ClusterTerm(
            force.getName(),
            expression,
            atoms,
            names,
            values.reshape(len(rows), len(names)),
            constants,
            tables,
        )
    ]


def harmonic_bond(force: openmm.HarmonicBondForce, _: Globals) -> list[ClusterTerm]:
    """Read a HarmonicBondForce: ½k(r − r₀)² of the distance r of two atoms.

    Parameters
    ----------
    force
        The OpenMM force.
    _
        Not used: the force has no global parameters.

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
        "0.5*k*(distance(p1,p2)-length)^2",
        ["length", "k"],
        [(r[:2], r[2:]) for r in rows],
        particles=2,
    )


def harmonic_angle(force: openmm.HarmonicAngleForce, _: Globals) -> list[ClusterTerm]:
    """Read a HarmonicAngleForce: ½k(θ − θ₀)² of the angle θ of three atoms.

    Parameters
    ----------
    force
        The OpenMM force.
    _
        Not used: the force has no global parameters.

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
        force, "0.5*k*(angle(p1,p2,p3)-rest)^2", ["rest", "k"], [(r[:3], r[3:]) for r in rows], particles=3
    )


def periodic_torsion(force: openmm.PeriodicTorsionForce, _: Globals) -> list[ClusterTerm]:
    """Read a PeriodicTorsionForce: k(1 + cos(nφ − φ₀)) of the dihedral angle φ of four atoms.

    Parameters
    ----------
    force
        The OpenMM force.
    _
        Not used: the force has no global parameters.

    Returns
    -------
    list of ClusterTerm
        One term of the torsions with k ≠ 0; none where there are none.

    Raises
    ------
    InputError
        Where a parameter is not finite.
    """
    rows = [force.getTorsionParameters(i) for i in range(force.getNumTorsions())]
    return cluster_term(
        force,
        "k*(1+cos(n*dihedral(p1,p2,p3,p4)-phase))",
        ["n", "phase", "k"],
        [(r[:4], r[4:]) for r in rows if number(r[6]) != 0.0],
        particles=4,
    )


def ryckaert_bellemans(force: openmm.RBTorsionForce, _: Globals) -> list[ClusterTerm]:
    """Read an RBTorsionForce: Σ Cₙ cosⁿψ with ψ = φ − π, n = 0 … 5.

    The form is that of Ryckaert and Bellemans, Chem. Phys. Lett. 30 (1975) 123.

    Parameters
    ----------
    force
        The OpenMM force.
    _
        Not used: the force has no global parameters.

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
        "c0+c*(c1+c*(c2+c*(c3+c*(c4+c*c5)))); c=-cos(dihedral(p1,p2,p3,p4))",
        [f"c{i}" for i in range(6)],
        [(r[:4], r[4:]) for r in rows],
        particles=4,
    )
