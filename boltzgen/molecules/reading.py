"""From what a person gives (a SMILES, a file) to one complete molecule, or one sentence why not."""

from __future__ import annotations

import re
from pathlib import Path

from rdkit import Chem, rdBase

from boltzgen.errors import InputError
from boltzgen.molecules.stereo import canonical_smiles, stereoisomers, without_unknown_marks
from boltzgen.molecules.symmetry import MolecularGraph

MAX_ATOMS = 120
MOST_SHOWN_ISOMERS = 16


def read_smiles(smiles: str) -> Chem.Mol:
    """The molecule of a SMILES with explicit hydrogens and every stereo element labelled.

    Raises InputError: unparsable, fragments, radicals, dummy atoms, too many atoms, open stereo.
    """
    rdmol = with_hydrogens(parsed_smiles(smiles), f"SMILES '{smiles}'")
    isomers = stereoisomers(rdmol)
    if len(isomers) == 1:
        return isomers[0]
    if not isomers:
        raise InputError(f"SMILES '{smiles}' has no stereoisomer that fits into three dimensions.")
    raise _open_stereo(f"SMILES '{smiles}'", isomers)


def _open_stereo(what: str, isomers: list[Chem.Mol]) -> InputError:
    listed = "  ".join(canonical_smiles(isomer) for isomer in isomers[:MOST_SHOWN_ISOMERS])
    more = (
        f"  and {len(isomers) - MOST_SHOWN_ISOMERS} or more others"
        if len(isomers) > MOST_SHOWN_ISOMERS
        else ""
    )
    return InputError(f"{what} leaves stereo open: give one of its stereoisomers: {listed}{more}")


def parsed_smiles(smiles: str) -> Chem.Mol:
    """RDKit's reading of ``smiles``, or an InputError with RDKit's reason."""
    with rdBase.BlockLogs():
        loose = Chem.MolFromSmiles(smiles, sanitize=False)
        if loose is None or loose.GetNumAtoms() == 0:
            raise InputError(f"'{smiles}' is not a SMILES that RDKit can parse: check its spelling.")
        _require_sane(loose, f"SMILES '{smiles}'")
        return Chem.MolFromSmiles(smiles)


def with_hydrogens(rdmol: Chem.Mol, what: str) -> Chem.Mol:
    """``rdmol`` with explicit hydrogens (placed where it has positions) if this project can work on it."""
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
    complete = Chem.AddHs(rdmol, addCoords=rdmol.GetNumConformers() > 0)
    if complete.GetNumAtoms() > MAX_ATOMS:
        raise InputError(
            f"{what} has {complete.GetNumAtoms()} atoms with hydrogens: give one of at most {MAX_ATOMS}."
        )
    return complete


def read_file(path: str | Path) -> Chem.Mol:
    """The molecule of an .sdf or .mol file; its three-dimensional records become conformers.

    Several records must be conformers of one molecule in one atom order. Stereo is perceived from
    positions where there are any; a flat file's stereo marks count otherwise.
    """
    path = Path(path)
    if path.suffix.lower() not in (".sdf", ".mol"):
        raise InputError(f"'{path}' is not a molecule file: give .sdf, .mol, .pdb or a SMILES.")
    if not path.is_file():
        raise InputError(f"There is no file '{path}'.")
    records = [_read_record(block, path) for block in _records(path)]
    first = records[0]
    graph = MolecularGraph.from_rdmol(first)
    for other in records[1:]:
        if MolecularGraph.from_rdmol(other) != graph:
            raise InputError(
                f"'{path}' holds different molecules or orders of atoms: give one molecule, or conformers "
                "of it in one order of atoms."
            )
        for conformer in other.GetConformers():
            first.AddConformer(conformer, assignId=True)
    isomers = stereoisomers(first)
    if len(isomers) != 1:
        raise _open_stereo(f"'{path}'", isomers)
    return isomers[0]


def _records(path: Path) -> list[str]:
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"'{path}' cannot be read: {error}.") from error
    first, *others = re.split(r"^\$\$\$\$.*\n?", text, flags=re.MULTILINE)
    return [first, *(block for block in others if block.strip())]


def _read_record(block: str, path: Path) -> Chem.Mol:
    with rdBase.BlockLogs():
        loose = Chem.MolFromMolBlock(block, sanitize=False, removeHs=False)
        if loose is None or loose.GetNumAtoms() == 0:
            raise InputError(f"'{path}' is not a mol block that RDKit can parse: check the file.")
        _require_sane(loose, f"'{path}'")
        rdmol = Chem.MolFromMolBlock(block, removeHs=False)
    if not rdmol.GetConformer().Is3D():
        rdmol.RemoveAllConformers()
    rdmol = with_hydrogens(rdmol, f"'{path}'")
    if rdmol.GetNumConformers():
        rdmol = without_unknown_marks(rdmol)
        Chem.AssignStereochemistryFrom3D(rdmol)
    return rdmol


def _require_sane(loose: Chem.Mol, what: str) -> None:
    problems = Chem.DetectChemistryProblems(loose)
    if problems:
        raise InputError(f"{what} is not a possible molecule: {problems[0].Message().rstrip('.')}.")
