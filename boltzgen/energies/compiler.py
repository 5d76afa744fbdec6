"""An ``openmm.System`` read into a batched, differentiable energy: the same numbers, tens of times faster."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from xml.etree import ElementTree

import openmm

from boltzgen.energies.bridge.term import BridgeTerm
from boltzgen.energies.calculated import CalculatorTerm, calculator_term
from boltzgen.energies.energy import Energy
from boltzgen.energies.readers import bonded, custom, nonbonded, solvation, tabulated
from boltzgen.energies.terms.term import Term
from boltzgen.errors import InputError

Reader = Callable[..., Sequence[Term]]
READERS: dict[type, Reader] = {
    openmm.HarmonicBondForce: bonded.harmonic_bond,
    openmm.HarmonicAngleForce: bonded.harmonic_angle,
    openmm.PeriodicTorsionForce: bonded.periodic_torsion,
    openmm.RBTorsionForce: bonded.ryckaert_bellemans,
    openmm.CMAPTorsionForce: tabulated.cmap_torsion,
    openmm.CustomBondForce: custom.custom_bond,
    openmm.CustomAngleForce: custom.custom_angle,
    openmm.CustomTorsionForce: custom.custom_torsion,
    openmm.CustomCompoundBondForce: custom.custom_compound_bond,
    openmm.CustomExternalForce: custom.custom_external,
    openmm.NonbondedForce: nonbonded.nonbonded,
    openmm.CustomNonbondedForce: nonbonded.custom_nonbonded,
    openmm.GBSAOBCForce: solvation.gbsa_obc,
    openmm.CustomGBForce: solvation.custom_gb,
}
_OVER_ALL_PARTICLES = (
    openmm.NonbondedForce,
    openmm.CustomNonbondedForce,
    openmm.GBSAOBCForce,
    openmm.CustomGBForce,
)
# They move particles or the box but add nothing to the energy.
_WITHOUT_ENERGY = (openmm.CMMotionRemover, openmm.AndersenThermostat)


def compile_system(
    system: openmm.System,
    *,
    compiled: str | bool = "auto",
    release_constraints: bool = False,
    global_parameters: Mapping[str, float] | None = None,
) -> Energy:
    """The system's potential energy as a torch function.

    compiled: "auto" uses generated machine code on the CPU where a C++ compiler is found, else torch
    operations, and says so once; True insists on a compiler; False never uses one.
    release_constraints: treat constrained bonds as free (their force-field terms must then be there).
    global_parameters: values by name instead of the forces' defaults.
    Forces of a kind not known here are left to OpenMM in worker processes, with a warning; those of
    calculators (quantum chemistry, machine-learned potentials) are evaluated by these themselves.
    Raises InputError for what has no meaning here: periodic boxes, barostats, virtual sites, massless
    particles, constraints that are not released, forces on particles that are not there, and global
    parameters that no force has.
    """
    given = dict(global_parameters or {})
    _check(system, release_constraints)
    _check_known(given, system.getForces())
    terms: list[Term] = []
    left: list[openmm.Force] = []
    for force in system.getForces():
        if isinstance(force, _WITHOUT_ENERGY):
            continue
        _check_no_box(force)
        _check_particles(force, system)
        reader = READERS.get(type(force))
        calculated = _calculated(force, system) if isinstance(force, openmm.PythonForce) else None
        if calculated is not None:
            terms.append(calculated)
        elif reader is None:
            left.append(force)
        else:
            terms.extend(reader(force, given))
    if left:
        terms.append(_bridge(system, left, given))
    return Energy(system.getNumParticles(), terms, compiled=compiled)


def _check(system: openmm.System, release_constraints: bool) -> None:
    for i in range(system.getNumParticles()):
        if system.isVirtualSite(i):
            raise InputError(f"particle {i} is a virtual site; only atoms that move freely can be sampled")
        mass = bonded.number(system.getParticleMass(i))
        if not mass > 0:
            raise InputError(f"particle {i} has mass {mass:g}; every atom needs a positive mass")
    if system.getNumConstraints() and not release_constraints:
        raise InputError(
            f"the system constrains {system.getNumConstraints()} distances; build it with constraints=None, "
            "or release them (release_constraints=True) if their bonds have force-field terms"
        )


def _check_no_box(force: openmm.Force) -> None:
    if "Barostat" in type(force).__name__:
        raise InputError(f"{force.getName()} changes the volume of a periodic box; remove it")
    try:
        periodic = force.usesPeriodicBoundaryConditions()
    except openmm.OpenMMException:
        return  # the force does not say; it was not made for boxes
    if periodic:
        raise InputError(f"{force.getName()} uses a periodic box; only molecules without one can be sampled")


def _check_particles(force: openmm.Force, system: openmm.System) -> None:
    if isinstance(force, _OVER_ALL_PARTICLES) and force.getNumParticles() != system.getNumParticles():
        raise InputError(
            f"{force.getName()} has parameters of {force.getNumParticles()} particles in a system of "
            f"{system.getNumParticles()}; give one set for each"
        )


def _check_known(given: Mapping[str, float], forces: Iterable[openmm.Force]) -> None:
    if not given:
        return
    known = {
        str(parameter.get("name")) for force in forces for parameter in _global_parameters(_serialized(force))
    }
    for name, value in given.items():
        if name not in known:
            raise InputError(
                f"no force has a global parameter {name!r}; there are {', '.join(sorted(known)) or 'none'}"
            )
        if not math.isfinite(value):
            raise InputError(f"global parameter {name!r} is {value}; give a number")


def _serialized(force: openmm.Force) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(openmm.XmlSerializer.serialize(force))
    except openmm.OpenMMException as error:  # a function that cannot be pickled
        raise InputError(
            f"{force.getName()} cannot be given to OpenMM in another process: {error}"
        ) from error


def _calculated(force: openmm.PythonForce, system: openmm.System) -> CalculatorTerm | None:
    pickled = bytes.fromhex(_serialized(force).get("function", ""))
    return calculator_term(force, pickled, system.getNumParticles())


def _global_parameters(force: ElementTree.Element) -> list[ElementTree.Element]:
    """Names and defaults of the global parameters of a serialized force, and of forces within it."""
    return [parameter for block in force.iter("GlobalParameters") for parameter in block]


def _bridge(system: openmm.System, forces: Sequence[openmm.Force], given: Mapping[str, float]) -> BridgeTerm:
    """The forces that no reader understands, as a system of their own."""
    rest = openmm.System()
    for i in range(system.getNumParticles()):
        rest.addParticle(system.getParticleMass(i))
    for force in forces:
        xml = _serialized(force)
        for parameter in _global_parameters(xml):
            value = given.get(str(parameter.get("name")), parameter.get("default", 0.0))
            parameter.set("default", repr(float(value)))
        rest.addForce(openmm.XmlSerializer.deserialize(ElementTree.tostring(xml, encoding="unicode")))
    names = ", ".join(type(force).__name__ for force in forces)
    warnings.warn(f"{names}: computed by OpenMM itself, hundreds of times slower", stacklevel=3)
    return BridgeTerm(names, openmm.XmlSerializer.serialize(rest))
