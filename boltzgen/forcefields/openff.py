"""OpenFF force fields through openff-toolkit, where the user has it (conda-forge)."""

from __future__ import annotations

import importlib.util

import openmm

from boltzgen.errors import InputError
from boltzgen.molecules.molecule import Molecule


def openff_system(molecule: Molecule, version: str) -> openmm.System:
    """``molecule`` in vacuum with OpenFF ``version`` ("2.2.1"), without constraints, AM1-BCC charges.

    Raises InputError where openff-toolkit is missing or has no parameters for the molecule.
    """
    if importlib.util.find_spec("openff") is None or importlib.util.find_spec("openff.toolkit") is None:
        raise InputError(
            f"The force field 'openff-{version}' needs openff-toolkit, which this Python does not have: "
            "install it with 'conda install -c conda-forge openff-toolkit' or choose mmff94."
        )
    from openff.toolkit import ForceField
    from openff.toolkit import Molecule as OpenFFMolecule
    from openff.toolkit.utils.exceptions import OpenFFToolkitException

    try:
        typed = OpenFFMolecule.from_rdkit(
            molecule.rdmol, allow_undefined_stereo=True, hydrogens_are_explicit=True
        )
        field = ForceField(f"openff_unconstrained-{version}.offxml")
        system = field.create_interchange(typed.to_topology()).to_openmm(combine_nonbonded_forces=True)
    except OpenFFToolkitException as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"OpenFF {version} cannot describe '{molecule.smiles}': {reason}") from error
    return system
