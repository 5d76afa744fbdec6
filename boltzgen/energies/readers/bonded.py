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
    """A float in OpenMM's unit system (nm, kJ/mol, radian, e)."""
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
    """The force as one term; none where it acts on nothing. rows: (atoms, parameters) of each cluster."""
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
    rows = [force.getBondParameters(i) for i in range(force.getNumBonds())]
    return cluster_term(
        force,
        "0.5*k*(distance(p1,p2)-length)^2",
        ["length", "k"],
        [(r[:2], r[2:]) for r in rows],
        particles=2,
    )


def harmonic_angle(force: openmm.HarmonicAngleForce, _: Globals) -> list[ClusterTerm]:
    rows = [force.getAngleParameters(i) for i in range(force.getNumAngles())]
    return cluster_term(
        force, "0.5*k*(angle(p1,p2,p3)-rest)^2", ["rest", "k"], [(r[:3], r[3:]) for r in rows], particles=3
    )


def periodic_torsion(force: openmm.PeriodicTorsionForce, _: Globals) -> list[ClusterTerm]:
    rows = [force.getTorsionParameters(i) for i in range(force.getNumTorsions())]
    return cluster_term(
        force,
        "k*(1+cos(n*dihedral(p1,p2,p3,p4)-phase))",
        ["n", "phase", "k"],
        [(r[:4], r[4:]) for r in rows if number(r[6]) != 0.0],
        particles=4,
    )


def ryckaert_bellemans(force: openmm.RBTorsionForce, _: Globals) -> list[ClusterTerm]:
    """Σ Cₙ cosⁿψ with ψ = φ − π."""
    rows = [force.getTorsionParameters(i) for i in range(force.getNumTorsions())]
    return cluster_term(
        force,
        "c0+c*(c1+c*(c2+c*(c3+c*(c4+c*c5)))); c=-cos(dihedral(p1,p2,p3,p4))",
        [f"c{i}" for i in range(6)],
        [(r[:4], r[4:]) for r in rows],
        particles=4,
    )
