"""MolecularSystem: a molecule, its ``openmm.System`` and where both came from; looked up or built.

What a person calls a molecule is a SMILES, a file (.sdf, .mol, .pdb), a peptide sequence (ACE-ALA-NME) or the
name of a folder in ``systems/``, which holds a ``system.toml`` and a structure.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import openmm
from pydantic import BaseModel, ConfigDict

from boltzgen.errors import InputError
from boltzgen.forcefields.external import (
    read_system,
    require_finite_energy,
    require_matching,
    total_charge,
)
from boltzgen.forcefields.parametrise import is_program, parametrise
from boltzgen.molecules.molecule import Molecule
from boltzgen.molecules.peptides import is_peptide_pdb, is_sequence
from boltzgen.molecules.perception import read_bare_pdb
from boltzgen.openmm_xml import without_code

DEFAULT_FORCEFIELD = "mmff94"
DEFAULT_PEPTIDE_FORCEFIELD = "ff14sb"
DEFAULT_SOLVENT = "vacuum"
FOLDERS = (Path(__file__).parent / "_systems", Path(__file__).parents[1] / "systems")
SUFFIXES = (".sdf", ".mol", ".pdb")


class SystemDescription(BaseModel):
    """What a ``system.toml`` says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    what: str
    source: str
    reference: str
    structure: str
    forcefield: str
    solvent: str
    kind: Literal["benchmark", "large", "toy"]


@dataclass(frozen=True)
class MolecularSystem:
    """A molecule and its potential energy.

    ``system``: particles in the order of the molecule's atoms, no constraints, not periodic. ``provenance``:
    one line that says what it was built from.
    """

    molecule: Molecule
    system: openmm.System
    forcefield: str
    solvent: str
    name: str
    provenance: str

    def to_text(self) -> dict[str, str]:
        """All of it as text, for a file that is read without RDKit or OpenMM until it is needed.

        A force field that is a program is named there; its system is built anew from the name.
        """
        return {
            "molecule": self.molecule.to_json(),
            "system": "" if is_program(self.forcefield) else openmm.XmlSerializer.serialize(self.system),
            "forcefield": self.forcefield,
            "solvent": self.solvent,
            "name": self.name,
            "provenance": self.provenance,
        }

    @classmethod
    def from_text(cls, text: Mapping[str, str]) -> MolecularSystem:
        """The system that ``to_text`` wrote. Raises InputError where it holds a force that is code."""
        molecule = Molecule.from_json(text["molecule"])
        if not text["system"]:
            system = parametrise(molecule, text["forcefield"], text["solvent"])
        else:
            system = openmm.XmlSerializer.deserialize(without_code(text["system"], text["name"]))
        labels = {key: text[key] for key in ("forcefield", "solvent", "name", "provenance")}
        return cls(molecule, system, **labels)


def build_system(
    molecule: Molecule, forcefield: str = DEFAULT_FORCEFIELD, solvent: str = DEFAULT_SOLVENT
) -> MolecularSystem:
    """``molecule`` in a force field and solvent by name (see ``forcefields/parametrise.py``)."""
    system = parametrise(molecule, forcefield, solvent)
    provenance = f"{molecule.smiles} in {forcefield}, {solvent}"
    return MolecularSystem(
        molecule, system, forcefield, solvent, molecule.name or molecule.smiles, provenance
    )


def load_molecule(spec: str) -> Molecule:
    """The molecule a person names: a name in ``systems/``, a file, a peptide sequence or a SMILES."""
    folder = system_folder(spec)
    if folder is not None:
        return Molecule.from_file(folder / describe_system(spec).structure, spec)
    if Path(spec).suffix.lower() in SUFFIXES:
        return Molecule.from_file(spec)
    if is_sequence(spec):
        return Molecule.from_sequence(spec)
    return Molecule.from_smiles(spec)


def load_system(
    spec: str,
    forcefield: str | None = None,
    solvent: str | None = None,
    release_constraints: bool = False,
) -> MolecularSystem:
    """The system of what a person names, in the force field and solvent given or else the usual one.

    ``forcefield`` is a name or the path of a serialized OpenMM system (.xml), whose atoms stand in the order
    of the file ``spec``. A system of ``systems/`` has a force field and a solvent of its own, for what is not
    given. Raises InputError.
    """
    if forcefield is not None and forcefield.lower().endswith(".xml"):
        return _external_system(spec, Path(forcefield), solvent, release_constraints)
    molecule = load_molecule(spec)
    folder = system_folder(spec)
    if folder is not None and forcefield is None and solvent is None:
        return _named_system(spec, folder, molecule)
    if release_constraints:
        raise InputError("Constraints can be released in a system.xml only: built systems have none.")
    if folder is None:
        forcefield, solvent = forcefield or _usual_forcefield(molecule), solvent or DEFAULT_SOLVENT
    else:
        description = describe_system(spec)
        forcefield, solvent = forcefield or description.forcefield, solvent or description.solvent
        if forcefield.endswith(".xml"):
            raise InputError(f"'{spec}' has an energy of its own, without {solvent}: name a force field too.")
    return build_system(molecule, forcefield.lower(), solvent.lower())


def _usual_forcefield(molecule: Molecule) -> str:
    has_residues = molecule.rdmol.GetAtomWithIdx(0).GetPDBResidueInfo() is not None
    return DEFAULT_PEPTIDE_FORCEFIELD if has_residues else DEFAULT_FORCEFIELD


def _named_system(name: str, folder: Path, molecule: Molecule) -> MolecularSystem:
    description = describe_system(name)
    if description.forcefield.endswith(".xml"):
        system = read_system(folder / description.forcefield)
        require_matching(system, molecule, folder / description.forcefield)
    else:
        system = parametrise(molecule, description.forcefield, description.solvent)
    return MolecularSystem(
        molecule, system, description.forcefield, description.solvent, name, description.source
    )


def _external_system(
    spec: str, path: Path, solvent: str | None, release_constraints: bool
) -> MolecularSystem:
    if solvent is not None:
        raise InputError(f"'{path}' already has its solvent: leave out '{solvent}'.")
    if Path(spec).suffix.lower() not in SUFFIXES:
        raise InputError(f"'{path}' needs its atoms in order: give the molecule as .sdf, .mol or .pdb file.")
    system = read_system(path, release_constraints)
    molecule = _molecule_of(Path(spec), system)
    require_matching(system, molecule, path)
    require_finite_energy(system, molecule, f"'{path}'")
    name = molecule.name or molecule.smiles
    return MolecularSystem(molecule, system, path.name, "as in the file", name, f"{spec} with {path}")


def _molecule_of(path: Path, system: openmm.System) -> Molecule:
    """The molecule of a structure file; a .pdb that is no peptide has the bonds that its positions show."""
    if path.suffix.lower() != ".pdb" or is_peptide_pdb(path):
        return Molecule.from_file(path)
    return Molecule(read_bare_pdb(path, total_charge(system)), path.stem)


def system_names() -> list[str]:
    """The names of the systems shipped with the package."""
    return sorted({path.parent.name for root in FOLDERS for path in root.glob("*/system.toml")})


def system_folder(name: str) -> Path | None:
    """The folder of a shipped system, None where ``name`` is none."""
    if name not in system_names():
        return None
    return next(root / name for root in FOLDERS if (root / name / "system.toml").is_file())


def describe_system(name: str) -> SystemDescription:
    """The ``system.toml`` of a shipped system. Raises InputError for an unknown name."""
    folder = system_folder(name)
    if folder is None:
        raise InputError(f"Unknown system '{name}': give one of {', '.join(system_names())}.")
    return SystemDescription.model_validate(tomllib.loads((folder / "system.toml").read_text()))
