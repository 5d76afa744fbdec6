"""Pair forces as cluster terms over all interacting pairs: NonbondedForce and CustomNonbondedForce."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations, product
from typing import Any

import openmm
import torch

from boltzgen.codegen.graphs import constant, variable
from boltzgen.codegen.tables import Table
from boltzgen.codegen.torch_printer import torch_function
from boltzgen.energies.language.expressions import Scope, parse
from boltzgen.energies.readers.bonded import Globals, cluster_term, number
from boltzgen.energies.readers.custom import constants_of
from boltzgen.energies.readers.tabulated import read_tables
from boltzgen.energies.terms.cluster import ClusterTerm
from boltzgen.errors import InputError
from boltzgen.units import COULOMB_CONSTANT

LENNARD_JONES = "4*epsilon*((sigma/r)^12-(sigma/r)^6)"
# 1 − 6t⁵ + 15t⁴ − 10t³ between the switching distance and the cutoff
_SWITCH = (
    "switching_factor = select(step(r-{start}), 1-switching^3*(10-switching*(15-6*switching)), 1);"
    "switching = (r-{start})/{width}"
)


def nonbonded(force: openmm.NonbondedForce, given: Globals) -> list[ClusterTerm]:
    """Read a NonbondedForce: Coulomb and Lennard-Jones energies of all pairs of atoms.

    Parameters of a pair follow the Lorentz–Berthelot rules. The pairs are taken in full, or cut off with a
    reaction field (Tironi et al., J. Chem. Phys. 102 (1995) 5451); exceptions have their own parameters and
    are never cut off.

    Parameters
    ----------
    force
        The OpenMM force.
    given
        Values of global parameters by name, in OpenMM's units, instead of the force's defaults.

    Returns
    -------
    list of ClusterTerm
        A term of the pairs and one of the exceptions, each where there are any.

    Raises
    ------
    InputError
        For a periodic box, a negative sigma or epsilon, or a parameter that is not finite.
    """
    particles, exceptions = _with_offsets(force, given)
    excepted = {(min(i, j), max(i, j)) for i, j, *_ in exceptions}
    rows = []
    for i, j in combinations(range(len(particles)), 2):
        if (i, j) not in excepted:
            (q1, s1, e1), (q2, s2, e2) = particles[i], particles[j]
            rows.append(((i, j), (q1 * q2, 0.5 * (s1 + s2), (e1 * e2) ** 0.5)))
    names = ["charges", "sigma", "epsilon"]
    method = force.getNonbondedMethod()
    if method == openmm.NonbondedForce.NoCutoff:
        expression = f"{COULOMB_CONSTANT!r}*charges/r + {LENNARD_JONES}; r=distance(p1,p2)"
    elif method == openmm.NonbondedForce.CutoffNonPeriodic:
        expression = _cut_off(force)
    else:
        raise InputError(f"{force.getName()} uses a periodic box; only molecules without one can be sampled")
    kept = [row for row in rows if row[1][0] != 0.0 or row[1][2] != 0.0]
    close = [((i, j), values) for i, j, *values in exceptions if values[0] != 0.0 or values[2] != 0.0]
    exception = f"{COULOMB_CONSTANT!r}*charges/r + {LENNARD_JONES}; r=distance(p1,p2)"
    terms = cluster_term(force, expression, names, kept, particles=2)
    for term in cluster_term(force, exception, names, close, particles=2):
        term.name += " exceptions"
        terms.append(term)
    return terms


def _cut_off(force: openmm.NonbondedForce) -> str:
    """Reaction field (Tironi 1995) and, where asked for, the switched Lennard-Jones."""
    cutoff = number(force.getCutoffDistance())
    dielectric = force.getReactionFieldDielectric()
    k = cutoff**-3 * (dielectric - 1) / (2 * dielectric + 1)
    c = 3 * dielectric / (2 * dielectric + 1) / cutoff
    return (
        f"select(step({cutoff!r}-r), coulomb + switching_factor*{LENNARD_JONES}, 0);"
        f"coulomb = {COULOMB_CONSTANT!r}*charges*(1/r+{k!r}*r^2-{c!r});"
        f"{_switch(force, cutoff)}; r=distance(p1,p2)"
    )


def _switch(force: openmm.NonbondedForce | openmm.CustomNonbondedForce, cutoff: float) -> str:
    if not force.getUseSwitchingFunction():
        return "switching_factor = 1"
    start = number(force.getSwitchingDistance())
    return _SWITCH.format(start=repr(start), width=repr(cutoff - start))


def _with_offsets(force: openmm.NonbondedForce, given: Globals) -> tuple[list[list[float]], list[list[Any]]]:
    """Particles (charge, sigma, epsilon) and exceptions (i, j, charges, sigma, epsilon), offsets added."""
    particles = [[number(v) for v in force.getParticleParameters(i)] for i in range(force.getNumParticles())]
    exceptions = []
    for index in range(force.getNumExceptions()):
        i, j, *values = force.getExceptionParameters(index)
        exceptions.append([i, j, *(number(v) for v in values)])
    constants = constants_of(force, given)
    for index in range(force.getNumParticleParameterOffsets()):
        name, particle, *scales = force.getParticleParameterOffset(index)
        for column, scale in enumerate(scales):
            particles[particle][column] += constants[name] * number(scale)
    for index in range(force.getNumExceptionParameterOffsets()):
        name, exception, *scales = force.getExceptionParameterOffset(index)
        for column, scale in enumerate(scales):
            exceptions[exception][2 + column] += constants[name] * number(scale)
    for index, (_, sigma, epsilon) in enumerate(particles):
        _require_lengths(force, f"atom {index}", sigma, epsilon)
    for i, j, _, sigma, epsilon in exceptions:
        _require_lengths(force, f"the exception of atoms {i} and {j}", sigma, epsilon)
    return particles, exceptions


def _require_lengths(force: openmm.NonbondedForce, where: str, sigma: float, epsilon: float) -> None:
    if sigma < 0 or epsilon < 0:
        raise InputError(
            f"{force.getName()}: {where} has sigma {sigma:g} nm and epsilon {epsilon:g} kJ/mol; "
            "neither may be negative"
        )


def custom_nonbonded(force: openmm.CustomNonbondedForce, given: Globals) -> list[ClusterTerm]:
    """Read a CustomNonbondedForce: its own energy expression over its interacting pairs.

    Parameters of the particles carry the suffixes 1 and 2 in the expression, as do values computed from them.

    Parameters
    ----------
    force
        The OpenMM force.
    given
        Values of global parameters by name, in OpenMM's units, instead of the force's defaults.

    Returns
    -------
    list of ClusterTerm
        One term; none where no pair interacts.

    Raises
    ------
    InputError
        For a periodic box, a parameter that is not finite, or an expression that is not understood.
    """
    constants, tables = constants_of(force, given), read_tables(force)
    names, values = _particle_columns(force, constants, tables)
    method, text = force.getNonbondedMethod(), force.getEnergyFunction()
    if method == openmm.CustomNonbondedForce.CutoffNonPeriodic:
        cutoff = number(force.getCutoffDistance())
        value, _, definitions = text.partition(";")
        text = f"select(step({cutoff!r}-r), switching_factor*({value}), 0);{definitions}"
        text += ";" + _switch(force, cutoff)
    elif method != openmm.CustomNonbondedForce.NoCutoff:
        raise InputError(f"{force.getName()} uses a periodic box; only molecules without one can be sampled")
    return cluster_term(
        force,
        text + "; r=distance(p1,p2)",
        [f"{name}{suffix}" for suffix in (1, 2) for name in names],
        [((i, j), [*values[i], *values[j]]) for i, j in _interacting(force)],
        2,
        constants,
        tables,
    )


def _particle_columns(
    force: openmm.CustomNonbondedForce, constants: Globals, tables: Mapping[str, Table]
) -> tuple[list[str], list[list[float]]]:
    """Names and values of each particle's parameters and of the values computed from them."""
    names = [force.getPerParticleParameterName(i) for i in range(force.getNumPerParticleParameters())]
    rows = [[number(v) for v in force.getParticleParameters(i)] for i in range(force.getNumParticles())]
    columns = torch.tensor(rows, dtype=torch.float64).reshape(len(rows), len(names)).T
    given = {**{n: variable(n) for n in names}, **{n: constant(v) for n, v in constants.items()}}
    sizes = {name: table.dimension for name, table in tables.items()}
    computed = [force.getComputedValueParameters(i) for i in range(force.getNumComputedValues())]
    graphs = [parse(expression, Scope(given, tables=sizes)) for _, expression in computed]
    evaluate = torch_function(graphs, names, {n: t.evaluate for n, t in tables.items()})
    extra = [torch.as_tensor(v, dtype=torch.float64).expand(len(rows)) for v in evaluate(*columns)]
    table = torch.cat([columns, torch.stack(extra)]) if extra else columns
    return [*names, *(name for name, _ in computed)], table.T.tolist()


def _interacting(force: openmm.CustomNonbondedForce) -> list[tuple[int, int]]:
    """Pairs that interact: all, or those of the interaction groups, without the exclusions."""
    excluded = {tuple(sorted(force.getExclusionParticles(i))) for i in range(force.getNumExclusions())}
    if not force.getNumInteractionGroups():
        return [pair for pair in combinations(range(force.getNumParticles()), 2) if pair not in excluded]
    pairs = []
    for index in range(force.getNumInteractionGroups()):
        first, second = (set(group) for group in force.getInteractionGroupParameters(index))
        for i, j in product(sorted(first), sorted(second)):
            twice = i > j and j in first and i in second  # met already as (j, i) within this group
            if i != j and not twice and (min(i, j), max(i, j)) not in excluded:
                pairs.append((i, j))
    return pairs
