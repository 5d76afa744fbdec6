"""An ``openmm.System`` read into a batched, differentiable energy: the same numbers, tens of times faster."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence

import openmm

from boltzgen.energies import bonded, custom, nonbonded, solvation, tabulated
from boltzgen.energies.bridge import BridgeTerm
from boltzgen.energies.energy import Energy
from boltzgen.energies.term import Term
from boltzgen.errors import InputError

_Reader = Callable[..., Sequence[Term]]
_READERS: dict[type, _Reader] = {
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
    Forces of a kind not known here are left to OpenMM in worker processes, with a warning.
    Raises InputError for what has no meaning here: periodic boxes, barostats, virtual sites, massless
    particles, and constraints that are not released.
    """
    _check(system, release_constraints)
    terms: list[Term] = []
    left: list[openmm.Force] = []
    for force in system.getForces():
        if isinstance(force, _WITHOUT_ENERGY):
            continue
        _check_no_box(force)
        reader = _READERS.get(type(force))
        if reader is None:
            left.append(force)
        else:
            terms.extend(reader(force, global_parameters or {}))
    if left:
        terms.append(_bridge(system, left))
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


def _bridge(system: openmm.System, forces: Sequence[openmm.Force]) -> BridgeTerm:
    """The forces that no reader understands, as a system of their own."""
    rest = openmm.System()
    for i in range(system.getNumParticles()):
        rest.addParticle(system.getParticleMass(i))
    for force in forces:
        rest.addForce(openmm.XmlSerializer.clone(force))
    names = ", ".join(type(force).__name__ for force in forces)
    warnings.warn(f"{names}: computed by OpenMM itself, hundreds of times slower", stacklevel=3)
    return BridgeTerm(names, openmm.XmlSerializer.serialize(rest))
