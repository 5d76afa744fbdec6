"""From what a person gives (a SMILES, a file) to one complete molecule, or one sentence why not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from rdkit import Chem, rdBase

from boltzgen.errors import InputError
from boltzgen.files.given import read_text
from boltzgen.molecules.isomers import stereoisomers, without_unknown_marks
from boltzgen.molecules.smiles import parsed_smiles, require_sane, shown
from boltzgen.molecules.stereo import canonical_smiles
from boltzgen.molecules.symmetry import MolecularGraph
from boltzgen.molecules.unkept_stereo import require_kept_stereo

MAX_ATOMS = 120
BOND_TYPES = (
    Chem.BondType.SINGLE,
    Chem.BondType.DOUBLE,
    Chem.BondType.TRIPLE,
    Chem.BondType.AROMATIC,
)
LEAST_DISTANCE = 0.4  # Å between atoms of a conformer that is given
MOST_MEGABYTES = 10.0  # of a molecule's file
MOST_SHOWN_ISOMERS = 16


def read_smiles(smiles: str) -> Chem.Mol:
    """The molecule of a SMILES with explicit hydrogens and every stereo element labelled.

    Raises InputError: unparsable, fragments, radicals, dummy atoms, too many atoms, open stereo.
    """
    what = f"SMILES '{shown(smiles)}'"
    rdmol = with_hydrogens(parsed_smiles(smiles), what)
    isomers = stereoisomers(rdmol)
    if len(isomers) == 1:
        return isomers[0]
    raise open_stereo(what, isomers)


def open_stereo(what: str, isomers: list[Chem.Mol]) -> InputError:
    """What to tell of ``what``, whose labels fit all of ``isomers``, or none."""
    if not isomers:
        return InputError(f"{what} has no stereoisomer that fits into three dimensions.")
    listed = "  ".join(canonical_smiles(isomer) for isomer in isomers[:MOST_SHOWN_ISOMERS])
    more = (
        f"  and {len(isomers) - MOST_SHOWN_ISOMERS} or more others"
        if len(isomers) > MOST_SHOWN_ISOMERS
        else ""
    )
    return InputError(f"{what} leaves stereo open: give one of its stereoisomers: {listed}{more}")


def with_hydrogens(rdmol: Chem.Mol, what: str) -> Chem.Mol:
    """``rdmol`` with explicit hydrogens (placed where it has positions) if this project can work on it."""
    if rdmol.GetNumAtoms() > MAX_ATOMS:
        raise InputError(f"{what} has {rdmol.GetNumAtoms()} atoms: give a molecule of at most {MAX_ATOMS}.")
    if len(Chem.GetMolFrags(rdmol)) > 1:
        raise InputError(f"{what} has several fragments: give one molecule, without counter-ions or solvent.")
    for atom in rdmol.GetAtoms():
        if atom.GetAtomicNum() == 0 or atom.HasQuery():
            raise InputError(
                f"{what} has a dummy or query atom (index {atom.GetIdx()}): give a real element."
            )
        if atom.GetNumRadicalElectrons() > 0:
            raise InputError(
                f"{what} has an unpaired electron on {atom.GetSymbol()} (index {atom.GetIdx()}): "
                "radicals have no force field here; add the missing hydrogen or bond."
            )
    for bond in rdmol.GetBonds():
        if bond.GetBondType() not in BOND_TYPES:
            raise InputError(
                f"{what} has a bond of the type {bond.GetBondType().name.lower()} between atoms"
                f" {bond.GetBeginAtomIdx()} and {bond.GetEndAtomIdx()}: give single, double, triple or"
                " aromatic ones."
            )
    require_apart(rdmol, what)
    rdmol = Chem.Mol(rdmol)
    for atom in rdmol.GetAtoms():  # numbers of a reaction: RDKit would take alike atoms for different ones
        atom.SetAtomMapNum(0)
    complete = Chem.AddHs(rdmol, addCoords=rdmol.GetNumConformers() > 0)
    if complete.GetNumAtoms() > MAX_ATOMS:
        raise InputError(
            f"{what} has {complete.GetNumAtoms()} atoms with hydrogens: give one of at most {MAX_ATOMS}."
        )
    require_kept_stereo(complete, what)
    return complete


def require_apart(rdmol: Chem.Mol, what: str) -> None:
    """InputError where two atoms of a conformer of ``rdmol`` lie in one place or nowhere."""
    if rdmol.GetNumAtoms() < 2:
        return
    for conformer in rdmol.GetConformers():
        x = conformer.GetPositions()
        if not np.isfinite(x).all():
            raise InputError(f"{what} has a position that is no finite number: correct the file.")
        distances = np.linalg.norm(x[:, None] - x[None], axis=-1)
        np.fill_diagonal(distances, np.inf)
        first, second = divmod(int(distances.argmin()), len(x))
        if distances[first, second] < LEAST_DISTANCE:
            raise InputError(
                f"{what} has atoms {first} and {second} {distances[first, second]:.2g} Å apart: give"
                " positions in Å in which no atoms coincide."
            )


def read_file(path: str | Path) -> Chem.Mol:
    """The molecule of an .sdf or .mol file; its three-dimensional records become conformers.

    Several records must be conformers of one molecule in one atom order. Stereo is perceived from
    positions where there are any; a flat file's stereo marks count otherwise.
    """
    path = Path(path)
    if path.suffix.lower() not in (".sdf", ".mol"):
        raise InputError(f"'{path}' is not a molecule file: give .sdf, .mol, .pdb or a SMILES.")
    records = [_read_record(block, path) for block in _records(path)]
    first = records[0]
    for other in records[1:]:
        if not _is_same(first, other):
            raise InputError(
                f"'{path}' holds different molecules or orders of atoms: give one molecule, or conformers "
                "of it in one order of atoms."
            )
        for conformer in other.GetConformers():
            first.AddConformer(conformer, assignId=True)
    isomers = stereoisomers(first)
    if len(isomers) != 1:
        raise open_stereo(f"'{path}'", isomers)
    return isomers[0]


def _is_same(first: Chem.Mol, other: Chem.Mol) -> bool:
    """Whether two records have one graph in one order of atoms; equal drawings say so fast."""
    return _drawing(first) == _drawing(other) or (
        MolecularGraph.from_rdmol(first) == MolecularGraph.from_rdmol(other)
    )


def _drawing(rdmol: Chem.Mol) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    atoms = [
        (a.GetAtomicNum(), a.GetIsotope(), a.GetFormalCharge(), a.GetChiralTag()) for a in rdmol.GetAtoms()
    ]
    bonds = [
        (b.GetBeginAtomIdx(), b.GetEndAtomIdx(), b.GetBondType(), b.GetStereo(), list(b.GetStereoAtoms()))
        for b in rdmol.GetBonds()
    ]
    return atoms, bonds


def _records(path: Path) -> list[str]:
    text = read_text(path, MOST_MEGABYTES)
    first, *others = re.split(r"^\$\$\$\$.*\n?", text, flags=re.MULTILINE)
    return [first, *(block for block in others if block.strip())]


def _read_record(block: str, path: Path) -> Chem.Mol:
    with rdBase.BlockLogs():
        loose = Chem.MolFromMolBlock(block, sanitize=False, removeHs=False)
        if loose is None or loose.GetNumAtoms() == 0:
            raise InputError(f"'{path}' is not a mol block that RDKit can parse: check the file.")
        if loose.GetNumAtoms() > MAX_ATOMS:
            raise InputError(
                f"'{path}' has {loose.GetNumAtoms()} atoms: give a molecule of at most {MAX_ATOMS}."
            )
        require_sane(loose, f"'{path}'")
        rdmol = Chem.MolFromMolBlock(block, removeHs=False)
    if not rdmol.GetConformer().Is3D():
        rdmol.RemoveAllConformers()
    rdmol = with_hydrogens(rdmol, f"'{path}'")
    if rdmol.GetNumConformers():
        rdmol = without_unknown_marks(rdmol)
        Chem.AssignStereochemistryFrom3D(rdmol)
    return rdmol
