"""From what a person or a program calls a molecule to its system.

A person writes a SMILES, a file (.sdf, .mol, .pdb), a peptide sequence (ACE-ALA-NME) or the name of a folder
in ``systems/``; a program may have an RDKit molecule or an OpenMM system in hand.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openmm

from boltzgen.errors import InputError
from boltzgen.forcefields.external import (
    read_system,
    require_finite_energy,
    require_matching,
    total_charge,
)
from boltzgen.forcefields.parametrise import parametrise
from boltzgen.molecules.molecule import Molecule
from boltzgen.molecules.peptides import is_peptide_pdb, is_sequence
from boltzgen.molecules.perception import read_bare_pdb
from boltzgen.systems.given import MoleculeInput, given_input
from boltzgen.systems.named import describe_system, near_names, system_folder
from boltzgen.systems.stored import STORED_SUFFIX, read_stored
from boltzgen.systems.system import DEFAULT_SOLVENT, MolecularSystem, build_system, usual_forcefield

SUFFIXES = (".sdf", ".mol", ".pdb", STORED_SUFFIX)


def load_molecule(spec: str) -> Molecule:
    """The molecule a person names: a name in ``systems/``, a file, a peptide sequence or a SMILES."""
    folder = system_folder(spec)
    if folder is not None:
        return Molecule.from_file(folder / describe_system(spec).structure, spec)
    suffix = Path(spec).suffix.lower()
    if suffix == STORED_SUFFIX:
        stored = read_stored(spec)
        return stored.molecule if isinstance(stored, MolecularSystem) else stored
    if suffix in SUFFIXES:
        return Molecule.from_file(spec)
    if is_sequence(spec):
        return Molecule.from_sequence(spec)
    try:
        return Molecule.from_smiles(spec)
    except InputError as error:
        if near := near_names(spec):
            raise InputError(f"{error} A similar name of a shipped system: {' or '.join(near)}.") from error
        raise


def load_system(
    molecule: MoleculeInput,
    forcefield: str | None = None,
    solvent: str | None = None,
    release_constraints: bool = False,
    *,
    positions: Any = None,
    add_hydrogens: bool = False,
) -> MolecularSystem:
    """The system of a molecule, in the force field and solvent given or else the usual ones.

    Parameters
    ----------
    molecule
        Text: a SMILES, a file (.sdf, .mol, .pdb, or the input.json of a run), a peptide sequence or a name in
        ``systems/``. An RDKit ``Mol``, whose hydrogens, stereo and conformers are kept. A ``Molecule``. An
        OpenMM pair ``(topology, system)``, or ``(mol, system)`` where bond orders are known, with particles
        in the order of the atoms. A ``MolecularSystem`` is returned as it is.
    forcefield
        A name, or the path of a serialized OpenMM system (.xml), whose particles stand in the order of the
        molecule's atoms. By default MMFF94, for peptides ff14SB, for a named system its own.
    solvent
        By default vacuum, for a named system its own.
    release_constraints
        Whether the bond constraints of an OpenMM system are dropped where bond forces hold the atoms as well.
    positions
        Of an OpenMM pair: [atoms, 3] or [frames, atoms, 3] in nm, or an OpenMM quantity. They tell the
        stereo, and are where exploration starts.
    add_hydrogens
        Whether missing hydrogens of an RDKit ``Mol`` are added, after its atoms; otherwise they are refused.

    Returns
    -------
    MolecularSystem

    Raises
    ------
    InputError
        For what cannot be used, in one sentence.

    Examples
    --------
    >>> load_system("CCO").molecule.n_atoms
    9
    """
    given = given_input(molecule, positions, add_hydrogens, release_constraints)
    if isinstance(given, str) and Path(given).suffix.lower() == STORED_SUFFIX:
        given = read_stored(given)
    if isinstance(given, MolecularSystem):
        return _as_it_is(given, forcefield, solvent)
    if forcefield is not None and forcefield.lower().endswith(".xml"):
        return _external_system(given, Path(forcefield), solvent, release_constraints)
    if isinstance(given, str) and (folder := system_folder(given)) is not None:
        return _named_system(given, folder, forcefield, solvent, release_constraints)
    if release_constraints:
        raise _no_constraints()
    found = given if isinstance(given, Molecule) else load_molecule(given)
    chosen = forcefield or usual_forcefield(found)
    return build_system(found, chosen.lower(), (solvent or DEFAULT_SOLVENT).lower())


def _no_constraints() -> InputError:
    return InputError("Constraints can be released in a system.xml only: built systems have none.")


def _as_it_is(system: MolecularSystem, forcefield: str | None, solvent: str | None) -> MolecularSystem:
    """``system``, unless another force field or solvent is asked of it."""
    for asked, own in ((forcefield, system.forcefield), (solvent, system.solvent)):
        if asked is not None and asked.lower() != own.lower():
            raise InputError(
                f"The system of '{system.molecule.smiles}' has its energy already ({system.forcefield},"
                f" {system.solvent}): leave out '{asked}', or give its molecule alone."
            )
    return system


def _named_system(
    name: str, folder: Path, forcefield: str | None, solvent: str | None, release_constraints: bool
) -> MolecularSystem:
    """A system of ``systems/``, with its own force field and solvent for what is not given."""
    molecule, description = load_molecule(name), describe_system(name)
    if forcefield is not None or solvent is not None:
        if release_constraints:
            raise _no_constraints()
        forcefield, solvent = forcefield or description.forcefield, solvent or description.solvent
        if forcefield.endswith(".xml"):
            raise InputError(f"'{name}' has an energy of its own, without {solvent}: name a force field too.")
        return build_system(molecule, forcefield.lower(), solvent.lower())
    if description.forcefield.endswith(".xml"):
        system = read_system(folder / description.forcefield)
        require_matching(system, molecule, f"'{folder / description.forcefield}'")
    else:
        system = parametrise(molecule, description.forcefield, description.solvent)
    return MolecularSystem(
        molecule, system, description.forcefield, description.solvent, name, description.source
    )


def _external_system(
    given: str | Molecule, path: Path, solvent: str | None, release_constraints: bool
) -> MolecularSystem:
    if solvent is not None:
        raise InputError(f"'{path}' already has its solvent: leave out '{solvent}'.")
    if isinstance(given, str) and Path(given).suffix.lower() not in SUFFIXES:
        raise InputError(f"'{path}' needs its atoms in order: give the molecule as .sdf, .mol or .pdb file.")
    system = read_system(path, release_constraints)
    molecule = given if isinstance(given, Molecule) else _molecule_of(given, system)
    require_matching(system, molecule, f"'{path}'")
    require_finite_energy(system, molecule, f"'{path}'")
    name = molecule.name or molecule.smiles
    source = given if isinstance(given, str) else molecule.smiles
    return MolecularSystem(molecule, system, path.name, "as in the file", name, f"{source} with {path}")


def _molecule_of(spec: str, system: openmm.System) -> Molecule:
    """The molecule of a structure file; a .pdb that is no peptide has the bonds that its positions show."""
    path = Path(spec)
    if path.suffix.lower() != ".pdb" or is_peptide_pdb(path):
        return load_molecule(spec)
    return Molecule(read_bare_pdb(path, total_charge(system)), path.stem)
