"""A molecule and its energy: looked up by name, read, built, or taken from a program.

==========  ===========================================================================================
loading     ``load_system`` and ``load_molecule``: from whatever a person or a program calls a molecule
given       molecules and systems of a program: RDKit's, OpenMM's, boltzgen's own
named       the systems shipped with the package
system      ``MolecularSystem``, and how one is built with a force field by name
==========  ===========================================================================================
"""

from boltzgen.systems.given import MoleculeInput
from boltzgen.systems.loading import load_molecule, load_system
from boltzgen.systems.named import SystemDescription, describe_system, system_folder, system_names
from boltzgen.systems.system import (
    DEFAULT_FORCEFIELD,
    DEFAULT_PEPTIDE_FORCEFIELD,
    DEFAULT_SOLVENT,
    MolecularSystem,
    build_system,
)

__all__ = [
    "DEFAULT_FORCEFIELD",
    "DEFAULT_PEPTIDE_FORCEFIELD",
    "DEFAULT_SOLVENT",
    "MolecularSystem",
    "MoleculeInput",
    "SystemDescription",
    "build_system",
    "describe_system",
    "load_molecule",
    "load_system",
    "system_folder",
    "system_names",
]
