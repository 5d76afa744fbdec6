"""An ``openmm.System`` read into a batched, differentiable energy: the same numbers, tens of times faster."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import openmm

from ..errors import InputError
from . import bonded, custom, nonbonded, solvation, tabulated
from .energy import Energy
from .term import Term

_Reader = Callable[..., Sequence[Term]]
_READERS: dict[type, _Reader] = {
    openmm.HarmonicBondForce: bonded.harmonic_bond,
    openmm.HarmonicAngleForce: bonded.harmonic_angle,
    openmm.PeriodicTorsionForce: bonded.periodic_torsion,
    openmm.RBTorsionForce: bonded.ryckaert_bellemans,
    openmm.CustomBondForce: custom.custom_bond,
    openmm.CustomAngleForce: custom.custom_angle,
    openmm.CustomTorsionForce: custom.custom_torsion,
    openmm.CustomCompoundBondForce: custom.custom_compound_bond,
    openmm.CustomExternalForce: custom.custom_external,
    openmm.CMAPTorsionForce: tabulated.cmap_torsion,
    openmm.NonbondedForce: nonbonded.nonbonded,
    openmm.CustomNonbondedForce: nonbonded.custom_nonbonded,
    openmm.GBSAOBCForce: solvation.gbsa_obc,
    openmm.CustomGBForce: solvation.custom_gb,
}


def compile_system(
    system: openmm.System,
    *,
    compiled: str | bool = "auto",
    global_parameters: Mapping[str, float] | None = None,
) -> Energy:
    """The system's potential energy as a torch function.

    compiled: "auto" uses generated machine code on the CPU where a C++ compiler is found, else torch
    operations, and says so once; True insists on a compiler; False never uses one.
    global_parameters: values by name instead of the forces' defaults.
    Raises InputError for what has no meaning here (periodic boxes, constraints).
    """
    terms: list[Term] = []
    for force in system.getForces():
        if isinstance(force, openmm.CMMotionRemover):
            continue
        if force.usesPeriodicBoundaryConditions():
            raise InputError(
                f"{force.getName()} uses a periodic box; only molecules without one can be sampled"
            )
        reader = _READERS.get(type(force))
        if reader is None:
            raise InputError(f"the force {force.getName()} ({type(force).__name__}) is not supported")
        terms.extend(reader(force, global_parameters or {}))
    return Energy(system.getNumParticles(), terms, compiled=compiled)
