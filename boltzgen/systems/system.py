"""MolecularSystem: a molecule, its ``openmm.System`` and where both came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import openmm

from boltzgen.forcefields.parametrise import is_program, parametrise
from boltzgen.molecules.molecule import Molecule
from boltzgen.openmm_xml import without_code

DEFAULT_FORCEFIELD = "mmff94"
DEFAULT_PEPTIDE_FORCEFIELD = "ff14sb"
DEFAULT_SOLVENT = "vacuum"


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


def usual_forcefield(molecule: Molecule) -> str:
    """The force field that ``molecule`` has where none is asked for: ff14SB for peptides, else MMFF94."""
    has_residues = molecule.rdmol.GetAtomWithIdx(0).GetPDBResidueInfo() is not None
    return DEFAULT_PEPTIDE_FORCEFIELD if has_residues else DEFAULT_FORCEFIELD
