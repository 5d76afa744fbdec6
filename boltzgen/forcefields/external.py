"""A serialized OpenMM system from elsewhere (OpenFF, GAFF, CHARMM, a fitted model), checked for use here."""

from __future__ import annotations

import math
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import openmm

from boltzgen.errors import InputError
from boltzgen.files.given import read_text
from boltzgen.molecules.molecule import Molecule
from boltzgen.openmm_xml import without_code

_WORDS = ("name", "type", "energy", "openmmVersion")  # may look like a number, even like inf or nan
MOST_MEGABYTES = 20.0
MASS_TOLERANCE = 0.1  # dalton, between tables of atomic weights


def read_system(path: str | Path, release_constraints: bool = False) -> openmm.System:
    """The system of an XML file, free of constraints and boxes.

    Raises InputError: unreadable, a force that is code (PythonForce), a number that is none, and what
    ``checked_system`` refuses.
    """
    path = Path(path)
    try:
        text = without_code(read_text(path, MOST_MEGABYTES), str(path))
        system = openmm.XmlSerializer.deserialize(text)
    except InputError:
        raise
    except (OSError, openmm.OpenMMException, ValueError, RecursionError) as error:
        raise InputError(f"'{path}' is not a serialized OpenMM system: {error}.") from error
    if not isinstance(system, openmm.System):
        raise InputError(f"'{path}' holds an OpenMM {type(system).__name__}, not a System.")
    understood = openmm.XmlSerializer.serialize(system)
    _require_numbers(ElementTree.fromstring(text), ElementTree.fromstring(understood), path)
    return checked_system(system, f"'{path}'", release_constraints)


def checked_system(system: openmm.System, what: str, release_constraints: bool = False) -> openmm.System:
    """``system`` itself, without its constraints where these are released.

    Parameters
    ----------
    what
        What messages call it.
    release_constraints
        Removes constraints whose atoms a bond force holds as well; OpenMM leaves these forces out unless it
        is asked for ``flexibleConstraints``.

    Raises
    ------
    InputError
        For a periodic box, a barostat and constraints.
    """
    _require_free(system, what)
    _release_constraints(system, what, release_constraints)
    return system


def _require_numbers(given: ElementTree.Element, understood: ElementTree.Element, path: Path) -> None:
    """OpenMM reads a word in the place of a number as 0: compare with what it writes for what it read."""
    for key, value in given.attrib.items():
        meant = key not in _WORDS and _parses(understood.get(key, ""))
        if meant and not (_parses(value) and math.isfinite(float(value))):
            raise InputError(f"'{path}' has {key}=\"{value}\" in <{given.tag}>: give a finite number.")
    for tag in {child.tag for child in given}:
        # what OpenMM reads it writes in the same order; it adds elements that the file may leave out
        counterparts = understood.findall(tag)
        for place, child in enumerate(given.findall(tag)):
            if counterparts:
                _require_numbers(child, counterparts[min(place, len(counterparts) - 1)], path)


def _parses(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text  # digit groups are Python's own


def _require_free(system: openmm.System, what: str) -> None:
    for force in system.getForces():
        if "Barostat" in type(force).__name__:
            raise InputError(f"{what} has a barostat: remove it, a single molecule has no pressure.")
    if system.usesPeriodicBoundaryConditions():
        raise InputError(f"{what} is periodic: build it without a box (NoCutoff) for a single molecule.")


def _release_constraints(system: openmm.System, what: str, allowed: bool) -> None:
    constraints = [system.getConstraintParameters(k) for k in range(system.getNumConstraints())]
    if constraints and not allowed:
        raise InputError(
            f"{what} constrains {len(constraints)} distances, which removes degrees of freedom: "
            "build it without constraints, or ask for their release."
        )
    held = {
        frozenset(force.getBondParameters(k)[:2])
        for force in system.getForces()
        if isinstance(force, openmm.HarmonicBondForce | openmm.CustomBondForce)
        for k in range(force.getNumBonds())
    }
    for first, second, _ in constraints:
        if frozenset((first, second)) not in held:
            raise InputError(
                f"{what} holds particles {first} and {second} by a constraint alone, which cannot be "
                "released: build it without constraints or with flexibleConstraints=True."
            )
    for k in reversed(range(len(constraints))):
        system.removeConstraint(k)


def total_charge(system: openmm.System) -> int:
    """The charge of all particles in units of e, 0 where no NonbondedForce gives charges."""
    charges = [
        force.getParticleParameters(k)[0]._value
        for force in system.getForces()
        if isinstance(force, openmm.NonbondedForce)
        for k in range(force.getNumParticles())
    ]
    return round(sum(charges))


def require_matching(system: openmm.System, molecule: Molecule, what: str) -> None:
    """InputError unless the particles are the molecule's atoms in their order, by number and mass."""
    if system.getNumParticles() != molecule.n_atoms:
        raise InputError(
            f"{what} has {system.getNumParticles()} particles, but '{molecule.smiles}' has "
            f"{molecule.n_atoms} atoms: give the topology that belongs to it."
        )
    masses = np.array([system.getParticleMass(index)._value for index in range(molecule.n_atoms)])
    for index, mass in enumerate(masses):
        if system.isVirtualSite(index):
            raise InputError(f"{what} makes particle {index} a virtual site: these are not supported.")
        if not mass > 0:
            raise InputError(f"{what} gives particle {index} the mass {mass}: every mass must be positive.")
    hydrogen = molecule.atomic_numbers == 1
    repartitioned = bool(np.any(masses[hydrogen] > molecule.masses[hydrogen] + MASS_TOLERANCE))
    deviation = np.abs(masses - molecule.masses)
    if repartitioned and abs(masses.sum() - molecule.masses.sum()) < MASS_TOLERANCE * molecule.n_atoms:
        return  # heavier hydrogens, paid for by their heavy atoms: elements cannot be told from masses
    if deviation.max() > MASS_TOLERANCE:
        index = int(deviation.argmax())
        symbol = molecule.rdmol.GetAtomWithIdx(index).GetSymbol()
        raise InputError(
            f"{what} gives particle {index} the mass {masses[index]:g}, but the molecule has {symbol} "
            "there: give both in one atom order."
        )


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
