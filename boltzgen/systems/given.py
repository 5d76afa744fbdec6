"""Molecules and systems that a program has already: RDKit's, OpenMM's and boltzgen's own."""

from __future__ import annotations

import os
from typing import Any, TypeAlias

import openmm
import openmm.app
from rdkit import Chem

from boltzgen.errors import InputError
from boltzgen.forcefields.external import (
    checked_system,
    require_finite_energy,
    require_matching,
    total_charge,
)
from boltzgen.molecules.molecule import Molecule
from boltzgen.molecules.stereo import conformer
from boltzgen.molecules.topologies import read_topology
from boltzgen.quantities import positions_in_nm
from boltzgen.systems.system import MolecularSystem

OpenMMPair: TypeAlias = tuple[openmm.app.Topology | Chem.Mol | Molecule, openmm.System]
MoleculeInput: TypeAlias = str | os.PathLike[str] | Chem.Mol | Molecule | MolecularSystem | OpenMMPair
"""What stands for a molecule: text (see ``load_system``), RDKit's ``Mol``, an OpenMM pair, or one of ours."""

PAIR = "The OpenMM system"
KINDS = (
    "a SMILES, a path, a sequence, a name, an RDKit Mol, a Molecule, a MolecularSystem, or an OpenMM pair"
    " (topology, system)"
)


def given_input(
    molecule: MoleculeInput,
    positions: Any = None,
    add_hydrogens: bool = False,
    release_constraints: bool = False,
) -> str | Molecule | MolecularSystem:
    """What ``molecule`` stands for: text as it is, everything else as a molecule or a system of this package.

    Parameters
    ----------
    molecule
        See ``load_system``.
    positions
        Of the atoms of an OpenMM pair: [atoms, 3] or [frames, atoms, 3] in nm, or a quantity.
    add_hydrogens
        Whether missing hydrogens of an RDKit molecule are added.
    release_constraints
        Whether the constraints of an OpenMM system are dropped.

    Raises
    ------
    InputError
        For what cannot be used.
    """
    if isinstance(molecule, tuple):
        return _openmm_pair(molecule, positions, add_hydrogens, release_constraints)
    if positions is not None:
        raise InputError(
            "Positions are for an OpenMM pair (topology, system): give an RDKit Mol with conformers, or a"
            " file."
        )
    if isinstance(molecule, Chem.Mol):
        return Molecule.from_rdkit(molecule, add_hydrogens=add_hydrogens)
    if add_hydrogens:
        raise InputError("Hydrogens are added to an RDKit Mol alone: leave add_hydrogens out.")
    if isinstance(molecule, Molecule | MolecularSystem):
        return molecule
    if isinstance(molecule, str | os.PathLike):
        return os.fspath(molecule)
    if molecule is None:
        raise InputError("The molecule is None, as RDKit returns where it cannot read one: check its source.")
    raise InputError(f"A {type(molecule).__name__} is no molecule: give {KINDS}.")


def _openmm_pair(
    pair: tuple[Any, ...], positions: Any, add_hydrogens: bool, release_constraints: bool
) -> MolecularSystem:
    if len(pair) != 2 or not isinstance(pair[1], openmm.System):
        kinds = ", ".join(type(member).__name__ for member in pair)
        raise InputError(f"({kinds}) is no OpenMM pair: give (topology, system), or (mol, system).")
    first, given = pair
    system = checked_system(openmm.XmlSerializer.clone(given), PAIR, release_constraints)
    if isinstance(first, Chem.Mol):
        first = Molecule.from_rdkit(first, add_hydrogens=add_hydrogens)
    if isinstance(first, Molecule):
        molecule = first if positions is None else _placed(first, positions)
    elif isinstance(first, openmm.app.Topology):
        molecule = Molecule(_molecule_of(first, system, positions))
    else:
        raise InputError(f"A {type(first).__name__} has no atoms and bonds: give a topology or an RDKit Mol.")
    require_matching(system, molecule, PAIR)
    require_finite_energy(system, molecule, PAIR)
    name = molecule.name or molecule.smiles
    provenance = "an OpenMM system of the program that called"
    return MolecularSystem(molecule, system, "OpenMM system", "as in the system", name, provenance)


def _molecule_of(topology: openmm.app.Topology, system: openmm.System, positions: Any) -> Chem.Mol:
    virtual = [k for k in range(system.getNumParticles()) if system.isVirtualSite(k)]
    if virtual:
        raise InputError(f"{PAIR} makes particle {virtual[0]} a virtual site: these are not supported.")
    if topology.getNumAtoms() != system.getNumParticles():
        raise InputError(
            f"{PAIR} has {system.getNumParticles()} particles, but the topology has"
            f" {topology.getNumAtoms()} atoms: give the topology that belongs to it."
        )
    if positions is None:
        raise InputError("An OpenMM topology has no positions: give them with positions=, for its stereo.")
    formal = [atom.formalCharge for atom in topology.atoms()]
    charge = total_charge(system) if None in formal else sum(formal)
    return read_topology(topology, positions_in_nm(positions), charge)


def _placed(molecule: Molecule, positions: Any) -> Molecule:
    """``molecule`` with ``positions`` as its conformers."""
    x = positions_in_nm(positions)
    molecule.require_positions(x)
    rdmol = Chem.Mol(molecule.rdmol)
    rdmol.RemoveAllConformers()
    for frame in x:
        rdmol.AddConformer(conformer(frame), assignId=True)
    return Molecule.from_rdkit(rdmol, molecule.name)
