"""A serialized OpenMM system from elsewhere (OpenFF, GAFF, CHARMM, a fitted model), checked for use here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openmm

from boltzgen.errors import InputError
from boltzgen.molecules.molecule import Molecule

MASS_TOLERANCE = 0.1  # dalton, between tables of atomic weights


def read_system(path: str | Path, molecule: Molecule, release_constraints: bool = False) -> openmm.System:
    """The system of an XML file, its particles in the order of ``molecule``'s atoms.

    Raises InputError: unreadable, another number of particles, zero masses, a periodic box, a barostat,
    constraints (unless ``release_constraints`` removes them), energies that are no number.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"There is no file '{path}'.")
    try:
        system = openmm.XmlSerializer.deserialize(path.read_text())
    except (openmm.OpenMMException, ValueError, UnicodeDecodeError) as error:
        raise InputError(f"'{path}' is not a serialized OpenMM system: {error}.") from error
    if not isinstance(system, openmm.System):
        raise InputError(f"'{path}' holds an OpenMM {type(system).__name__}, not a System.")
    _require_particles(system, molecule, path)
    _require_free(system, path)
    if system.getNumConstraints() and not release_constraints:
        raise InputError(
            f"'{path}' constrains {system.getNumConstraints()} bonds, which would remove degrees of freedom: "
            "build it without constraints, or release them (their bonds then need a bond force)."
        )
    while system.getNumConstraints():
        system.removeConstraint(system.getNumConstraints() - 1)
    return system


def _require_particles(system: openmm.System, molecule: Molecule, path: Path) -> None:
    if system.getNumParticles() != molecule.n_atoms:
        raise InputError(
            f"'{path}' has {system.getNumParticles()} particles, but '{molecule.smiles}' has "
            f"{molecule.n_atoms} atoms: give the topology that belongs to it."
        )
    masses = np.array([system.getParticleMass(index)._value for index in range(molecule.n_atoms)])
    for index, mass in enumerate(masses):
        if system.isVirtualSite(index):
            raise InputError(f"'{path}' makes particle {index} a virtual site: these are not supported.")
        if not mass > 0:
            raise InputError(f"'{path}' gives particle {index} the mass {mass}: every mass must be positive.")
    hydrogen = molecule.atomic_numbers == 1
    repartitioned = bool(np.any(masses[hydrogen] > molecule.masses[hydrogen] + MASS_TOLERANCE))
    deviation = np.abs(masses - molecule.masses)
    if repartitioned and abs(masses.sum() - molecule.masses.sum()) < MASS_TOLERANCE * molecule.n_atoms:
        return  # heavier hydrogens, paid for by their heavy atoms: elements cannot be told from masses
    if deviation.max() > MASS_TOLERANCE:
        index = int(deviation.argmax())
        symbol = molecule.rdmol.GetAtomWithIdx(index).GetSymbol()
        raise InputError(
            f"'{path}' gives particle {index} the mass {masses[index]:g}, but the molecule has {symbol} "
            "there: give both in one atom order."
        )


def _require_free(system: openmm.System, path: Path) -> None:
    for force in system.getForces():
        if "Barostat" in type(force).__name__:
            raise InputError(f"'{path}' has a barostat: remove it, a single molecule has no pressure.")
    if system.usesPeriodicBoundaryConditions():
        raise InputError(f"'{path}' is periodic: build it without a box (NoCutoff) for a single molecule.")


def require_finite_energy(system: openmm.System, molecule: Molecule, what: str) -> None:
    """InputError unless OpenMM finds a finite energy at the molecule's first seed conformer."""
    positions = molecule.seed_conformers(1, minimise=False)[0]
    platform = openmm.Platform.getPlatformByName("Reference")
    try:
        context = openmm.Context(system, openmm.VerletIntegrator(0.001), platform)
        context.setPositions(positions)
        energy = context.getState(getEnergy=True).getPotentialEnergy()._value
    except openmm.OpenMMException as error:
        raise InputError(f"OpenMM cannot evaluate {what}: {error}.") from error
    if not abs(energy) < float("inf"):
        raise InputError(f"{what} has the energy {energy} at a relaxed conformer: check its parameters.")
