"""Every force field by name: a molecule and a solvent to an ``openmm.System``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import openmm

from boltzgen.errors import InputError
from boltzgen.forcefields.amber import amber_solvents, amber_system
from boltzgen.forcefields.calculated import LEARNED, learned_system, tight_binding_system
from boltzgen.forcefields.gaff import gaff_system
from boltzgen.forcefields.mmff import mmff_charges, mmff_system
from boltzgen.forcefields.openff import openff_system
from boltzgen.forcefields.solvent import SOLVENTS, add_solvent
from boltzgen.molecules.molecule import Molecule

Builder = Callable[[Molecule, str], openmm.System]


@dataclass(frozen=True)
class ForceField:
    """How a force field describes a molecule: ``build(molecule, solvent)`` for one of ``solvents``."""

    build: Builder
    solvents: tuple[str, ...]


def _small_molecule(
    vacuum: Callable[[Molecule], openmm.System], charges: Callable[[Molecule, openmm.System], np.ndarray]
) -> ForceField:
    def build(molecule: Molecule, solvent: str) -> openmm.System:
        system = vacuum(molecule)
        if solvent != "vacuum":
            add_solvent(system, molecule.to_openmm_topology(), charges(molecule, system), solvent)
        return system

    return ForceField(build, SOLVENTS)


def _mmff(variant: str) -> ForceField:
    return _small_molecule(partial(mmff_system, variant=variant), lambda molecule, _: mmff_charges(molecule))


def _openff(version: str) -> ForceField:
    return _small_molecule(
        partial(openff_system, version=version), lambda _, system: nonbonded_charges(system)
    )


def _amber(name: str) -> ForceField:
    return ForceField(lambda molecule, solvent: amber_system(molecule, name, solvent), amber_solvents(name))


PROGRAMS = {"gfn1": "GFN1-xTB", "gfn2": "GFN2-xTB"}


def _tight_binding(method: str) -> ForceField:
    return ForceField(
        lambda molecule, solvent: tight_binding_system(molecule, method, solvent), ("vacuum", "water")
    )


def _learned(potential: str) -> ForceField:
    return ForceField(lambda molecule, _: learned_system(molecule, potential), ("vacuum",))


FORCE_FIELDS: dict[str, ForceField] = {
    "mmff94": _mmff("MMFF94"),
    "mmff94s": _mmff("MMFF94s"),
    "ff14sb": _amber("ff14sb"),
    "ff19sb": _amber("ff19sb"),
    "amber99sbildn": _amber("amber99sbildn"),
    "amber96": _amber("amber96"),
    "openff-2.2.1": _openff("2.2.1"),
    "gaff2": _small_molecule(gaff_system, lambda _, system: nonbonded_charges(system)),
    **{name: _tight_binding(method) for name, method in PROGRAMS.items()},
    **{name: _learned(potential) for name, potential in LEARNED.items()},
}
OTHER_POTENTIALS = "ml:"  # before the name of any potential that OpenMM-ML knows


def parametrise(molecule: Molecule, forcefield: str, solvent: str) -> openmm.System:
    """The system of ``molecule`` in ``forcefield`` and ``solvent``; InputError lists the known names."""
    if forcefield.startswith(OTHER_POTENTIALS):
        described = _learned(forcefield.removeprefix(OTHER_POTENTIALS))
    elif forcefield in FORCE_FIELDS:
        described = FORCE_FIELDS[forcefield]
    else:
        raise InputError(
            f"Unknown force field '{forcefield}': give one of {', '.join(FORCE_FIELDS)}, a potential of"
            f" OpenMM-ML like {OTHER_POTENTIALS}mace-off24-medium, or a system.xml."
        )
    if solvent not in described.solvents:
        raise InputError(
            f"Unknown solvent '{solvent}' for {forcefield}: give one of {', '.join(described.solvents)}."
        )
    return described.build(molecule, solvent)


def is_program(forcefield: str) -> bool:
    """Whether the energy of the force field of this name is computed by a program, not by formulas."""
    return forcefield in (*PROGRAMS, *LEARNED) or forcefield.startswith(OTHER_POTENTIALS)


def nonbonded_charges(system: openmm.System) -> np.ndarray:
    """Charges [atoms] (e) of the system's one NonbondedForce."""
    (force,) = (force for force in system.getForces() if isinstance(force, openmm.NonbondedForce))
    return np.array([force.getParticleParameters(i)[0]._value for i in range(force.getNumParticles())])
