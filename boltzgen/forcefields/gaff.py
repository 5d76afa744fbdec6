"""GAFF2 with AM1-BCC charges through openmmforcefields and AmberTools, where they are installed."""

from __future__ import annotations

import importlib.util

import openmm
import openmm.app

from boltzgen.errors import InputError
from boltzgen.molecules.molecule import Molecule

VERSION = "gaff-2.11"
PACKAGES = ("openff.toolkit", "openmmforcefields")


def gaff_system(molecule: Molecule) -> openmm.System:
    """``molecule`` in vacuum with GAFF 2.11 and AM1-BCC charges, without constraints.

    Raises InputError where packages are missing or have no parameters for the molecule.
    """
    missing = [name for name in PACKAGES if not _is_there(name)]
    if missing:
        raise InputError(
            f"The force field 'gaff2' needs {' and '.join(missing)}, which this Python does not have: install"
            " with 'conda install -c conda-forge openmmforcefields ambertools' or choose mmff94."
        )
    from openff.toolkit import Molecule as OpenFFMolecule
    from openff.toolkit.utils.exceptions import OpenFFToolkitException
    from openmmforcefields.generators import GAFFTemplateGenerator

    try:
        typed = OpenFFMolecule.from_rdkit(
            molecule.rdmol, allow_undefined_stereo=True, hydrogens_are_explicit=True
        )
        field = openmm.app.ForceField()
        field.registerTemplateGenerator(GAFFTemplateGenerator(molecules=typed, forcefield=VERSION).generator)
        return field.createSystem(
            molecule.to_openmm_topology(),
            nonbondedMethod=openmm.app.NoCutoff,
            constraints=None,
            rigidWater=False,
            removeCMMotion=False,
        )
    except (OpenFFToolkitException, ValueError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"GAFF2 cannot describe '{molecule.smiles}': {reason}") from error


def _is_there(package: str) -> bool:
    """Whether ``package`` is installed; nothing of it is imported but the packages it lies in."""
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:
        return False
