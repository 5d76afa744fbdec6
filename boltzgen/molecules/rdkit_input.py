"""An RDKit molecule of a program: its hydrogens, stereo, conformers and residues as they are, or why not."""

from __future__ import annotations

import numpy as np
from rdkit import Chem

from boltzgen.errors import InputError
from boltzgen.molecules.isomers import stereoisomers, without_unknown_marks
from boltzgen.molecules.peptides import is_peptide
from boltzgen.molecules.reading import open_stereo, with_hydrogens
from boltzgen.molecules.smiles import require_sane
from boltzgen.molecules.stereo import StereoElements, smiles_from_positions
from boltzgen.units import NM_PER_ANGSTROM


def read_mol(given: Chem.Mol, add_hydrogens: bool = False) -> Chem.Mol:
    """The molecule of an RDKit ``Mol`` with every hydrogen and every stereo element labelled.

    Parameters
    ----------
    given
        Is left as it is. Its atoms keep their order. Its conformers in three dimensions are kept, drawings in
        the plane are not. What its labels leave open of the stereo is taken from the first conformer.
        Residues are kept where all of them are those of a peptide.
    add_hydrogens
        Whether missing hydrogens are added, after the atoms that are there; otherwise they are refused.

    Returns
    -------
    Chem.Mol

    Raises
    ------
    InputError
        For missing hydrogens, conformers of another stereoisomer, open stereo, several molecules, radicals,
        query atoms, and what else cannot be used.
    """
    what = f"The RDKit molecule '{Chem.MolToSmiles(given)}'"
    if given.GetNumAtoms() == 0:
        raise InputError("The RDKit molecule has no atoms: check how it was made.")
    rdmol = Chem.Mol(given)
    require_sane(rdmol, what)
    Chem.SanitizeMol(rdmol)
    missing = sum(atom.GetTotalNumHs() for atom in rdmol.GetAtoms())
    if missing and not add_hydrogens:
        raise InputError(
            f"{what} lacks {missing} of its hydrogens: give Chem.AddHs(mol, addCoords=True), or ask for them"
            " with add_hydrogens=True."
        )
    for conformer in list(rdmol.GetConformers()):
        if not conformer.Is3D():
            rdmol.RemoveConformer(conformer.GetId())
    rdmol = with_hydrogens(rdmol, what)
    if rdmol.GetNumConformers():
        rdmol = _with_stereo_of_conformers(rdmol, what)
    isomers = stereoisomers(rdmol)
    if len(isomers) != 1:
        raise open_stereo(what, isomers)
    return _with_whole_residues(isomers[0])


def _with_stereo_of_conformers(rdmol: Chem.Mol, what: str) -> Chem.Mol:
    """``rdmol`` with the stereo that its conformers show, which must be that of its labels."""
    labelled = StereoElements.of(rdmol)
    shown = without_unknown_marks(rdmol)
    first = next(iter(rdmol.GetConformers())).GetId()
    Chem.AssignStereochemistryFrom3D(shown, confId=first)
    perceived = StereoElements.of(shown)
    x = np.array([conformer.GetPositions() for conformer in rdmol.GetConformers()]) * NM_PER_ANGSTROM
    for elements, of in ((labelled, "its labels"), (perceived, "its first conformer")):
        other = np.flatnonzero(~elements.kept(x))
        if len(other):
            raise InputError(
                f"{what} has a conformer, number {other[0]}, of another stereoisomer than {of}:"
                f" '{smiles_from_positions(rdmol, x[other[0]])}'; give conformers of one stereoisomer."
            )
    return shown


def _with_whole_residues(rdmol: Chem.Mol) -> Chem.Mol:
    """``rdmol`` without residues, unless they are a peptide's and each has its atoms side by side."""
    labels = [atom.GetPDBResidueInfo() for atom in rdmol.GetAtoms()]
    if all(labels):
        keys = [(info.GetResidueNumber(), info.GetResidueName().strip()) for info in labels]
        runs = 1 + sum(one != other for one, other in zip(keys[1:], keys[:-1], strict=True))
        if is_peptide(name for _, name in keys) and runs == len(set(keys)):
            return rdmol
    bare = Chem.Mol(rdmol)
    for atom in bare.GetAtoms():
        atom.SetMonomerInfo(None)  # type: ignore[arg-type]
    return bare
