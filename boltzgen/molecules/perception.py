"""Bonds and their orders perceived from positions, for a .pdb of something other than a peptide."""

from __future__ import annotations

from pathlib import Path

from rdkit import Chem, rdBase
from rdkit.Chem import rdDetermineBonds

from boltzgen.errors import InputError
from boltzgen.molecules.reading import with_hydrogens


def read_bare_pdb(path: str | Path, charge: int) -> Chem.Mol:
    """The molecule of a PDB file with all its hydrogens, its bonds perceived from its first model.

    Connectivity from distances and bond orders from valences (Kim & Kim 2015, RDKit's DetermineBonds) for the
    total ``charge``. Atom order and positions are the file's. Raises InputError where no bonding fits.
    """
    if not Path(path).is_file():
        raise InputError(f"There is no file '{path}'.")
    with rdBase.BlockLogs():
        loose = Chem.MolFromPDBFile(str(path), removeHs=False, sanitize=False, proximityBonding=False)
        if loose is None or loose.GetNumAtoms() == 0:
            raise InputError(f"'{path}' is not a PDB file that RDKit can read: check the file.")
        editable = Chem.RWMol(loose)
        for bond in list(loose.GetBonds()):
            editable.RemoveBond(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx())
        for atom in editable.GetAtoms():
            atom.SetFormalCharge(0)
        try:
            rdDetermineBonds.DetermineBonds(editable, charge=charge)
            Chem.SanitizeMol(editable)
        except ValueError as error:
            raise InputError(
                f"'{path}' shows no bonding that fits its positions and a total charge of {charge}: "
                "give an .sdf file, which has bond orders, in the same atom order."
            ) from error
    rdmol = with_hydrogens(editable.GetMol(), f"'{path}'")
    if rdmol.GetNumAtoms() != loose.GetNumAtoms():
        raise InputError(f"'{path}' lacks hydrogens: give every atom that the system has.")
    Chem.AssignStereochemistryFrom3D(rdmol)
    return rdmol
