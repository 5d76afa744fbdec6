"""What has to hold, and to be said, where two isomers of one formula are compared.

Both hold the same atoms, so that momenta and the measure of Z drop out; each Z holds σ labelled copies of
every configuration (``thermodynamics/symmetry_number.py``), of which nature knows one.
"""

from __future__ import annotations

import math
from collections import Counter

from boltzgen.errors import InputError
from boltzgen.molecules.molecule import Molecule
from boltzgen.systems import load_molecule
from boltzgen.thermodynamics.symmetry_number import symmetry_number
from boltzgen.workflows.config import SampleConfig
from boltzgen.workflows.trained_state import TrainedState

BONDING = (
    "the two molecules are bonded differently: the energies of {} have no common zero for them, so that the"
    " difference of free energies is not that of a reaction; only an energy that knows bonds being made, like"
    " gfn2, has one"
)
MIRROR = "a chiral molecule counts as one mirror image; a racemate is lower by kT ln 2"


def require_isomers(first: SampleConfig, second: SampleConfig) -> None:
    """Raises InputError where the molecules differ in their atoms or charge, or are the same."""
    one, other = (load_molecule(config.molecule) for config in (first, second))
    if _atoms(one) != _atoms(other):
        raise InputError(
            f"'{first.molecule}' and '{second.molecule}' are no isomers: they differ in atoms or charge."
        )
    if one.smiles == other.smiles:
        raise InputError(f"'{first.molecule}' and '{second.molecule}' are the same molecule.")


def log_symmetry_numbers(first: TrainedState, second: TrainedState) -> tuple[float, float]:
    """ln σ of both."""
    one, other = (math.log(symmetry_number(state.system.molecule)) for state in (first, second))
    return one, other


def isomer_caveats(first: TrainedState, second: TrainedState) -> list[str]:
    """What a reader of the difference has to know."""
    one, other = first.system.molecule, second.system.molecule
    caveats = []
    if _bonding(one) != _bonding(other) and not (first.is_costly and second.is_costly):
        caveats.append(BONDING.format(first.system.forcefield))
    if any("@" in molecule.smiles for molecule in (one, other)):
        caveats.append(MIRROR)
    return caveats


def _atoms(molecule: Molecule) -> tuple[Counter[tuple[int, int]], int]:
    """Elements and isotopes, and the charge."""
    atoms = molecule.rdmol.GetAtoms()
    kinds = Counter((atom.GetAtomicNum(), atom.GetIsotope()) for atom in atoms)
    return kinds, sum(atom.GetFormalCharge() for atom in atoms)


def _bonding(molecule: Molecule) -> str:
    """The SMILES without stereo: equal for conformers and stereoisomers, whose energies have one zero."""
    from rdkit import Chem

    return Chem.MolToSmiles(Chem.RemoveHs(molecule.rdmol), isomericSmiles=False)
