"""The stereoisomers of a molecule whose labels leave some stereo open."""

from __future__ import annotations

import itertools
import time
from typing import Any

import numpy as np
from rdkit import Chem, rdBase
from rdkit.Chem import rdDistGeom

from boltzgen.errors import InputError
from boltzgen.molecules.stereo import (
    canonical_smiles,
    delocalised_bonds,
    handed_volume,
    resonant_centres,
    without_delocalised_stereo,
)
from boltzgen.molecules.symmetry import MolecularGraph

MOST_LISTED_ISOMERS = 64
MOST_TRIED_LABELS = 1024
MOST_EMBEDDED_ISOMERS = 8
SHOWN_CONFORMERS = 40
MOST_SHOWN_ISOMERS = 2  # a molecule and its mirror image
SHOWING_SECONDS = 10.0
EMBEDDING_ATTEMPTS = 200  # bicyclobutane takes more than 20


def stereoisomers(rdmol: Chem.Mol) -> list[Chem.Mol]:
    """Every distinct molecule that gives a label to each stereo element ``rdmol`` leaves open.

    ``rdmol`` has explicit hydrogens. A molecule without open elements comes back alone, as it is. Up to
    ``MOST_EMBEDDED_ISOMERS`` isomers are tried in three dimensions and the impossible ones dropped (the
    trans bridgeheads of norbornane). Of more, as the labels of a cage can be combined, those count that the
    molecule shows when it is embedded without them, if these are one isomer or two. At most
    ``MOST_LISTED_ISOMERS`` are returned, out of the first ``MOST_TRIED_LABELS`` combinations of labels.
    Raises InputError for a centre that RDKit cannot label: one between rings that differ by cis and trans
    alone.
    """
    rdmol = without_delocalised_stereo(rdmol)
    centres, double_bonds = _unspecified(rdmol)
    if not centres and not double_bonds:
        _require_labels_for(rdmol)
        return [rdmol]
    n_open = len(centres) + len(double_bonds)
    isomers: dict[str, Chem.Mol] = {}
    if 2**n_open > MOST_EMBEDDED_ISOMERS:
        isomers = _shown_isomers(rdmol, centres, double_bonds)
    if not 1 <= len(isomers) <= MOST_SHOWN_ISOMERS:
        isomers = {}
        for choice in itertools.islice(itertools.product((False, True), repeat=n_open), MOST_TRIED_LABELS):
            isomer = _labelled(rdmol, centres, double_bonds, choice)
            isomers.setdefault(canonical_smiles(isomer), isomer)
            if len(isomers) == MOST_LISTED_ISOMERS:
                break
        if 1 < len(isomers) <= MOST_EMBEDDED_ISOMERS:
            isomers = {smiles: isomer for smiles, isomer in isomers.items() if _embeds(isomer)}
    for isomer in isomers.values():
        _require_labels_for(isomer)
    return [isomers[smiles] for smiles in sorted(isomers)]


def _shown_isomers(rdmol: Chem.Mol, centres: list[int], double_bonds: list[int]) -> dict[str, Chem.Mol]:
    """The isomers, by their SMILES, that ``rdmol`` shows in ``SHOWN_CONFORMERS`` embeddings.

    The search ends with a third one. None where fewer embeddings succeed in ``SHOWING_SECONDS``.
    """
    parameters: Any = rdDistGeom.ETKDGv3()
    parameters.maxIterations = EMBEDDING_ATTEMPTS
    began = time.monotonic()
    choices: set[tuple[bool, ...]] = set()
    isomers: dict[str, Chem.Mol] = {}
    shown: list[Chem.Mol] = []  # with a label at every centre: SMILES of one cage may differ
    for k in range(SHOWN_CONFORMERS):
        parameters.randomSeed = k + 1
        embedded = Chem.Mol(rdmol)
        with rdBase.BlockLogs():
            found = rdDistGeom.EmbedMolecule(embedded, parameters) >= 0
        if not found or time.monotonic() - began > SHOWING_SECONDS:
            return {}
        choice = _shown_labels(rdmol, embedded.GetConformer().GetPositions(), centres, double_bonds)
        if choice in choices:
            continue
        choices.add(choice)
        isomer = _labelled(rdmol, centres, double_bonds, choice)
        tagged = _tagged(rdmol, centres, choice)
        same = any(tagged.HasSubstructMatch(other, useChirality=True) for other in shown)
        if double_bonds or not same:
            shown.append(tagged)
            isomers.setdefault(canonical_smiles(isomer), isomer)
        if len(isomers) > MOST_SHOWN_ISOMERS:
            break
    return isomers


def _shown_labels(
    rdmol: Chem.Mol, x: np.ndarray, centres: list[int], double_bonds: list[int]
) -> tuple[bool, ...]:
    """The choice of labels, as ``_labelled`` takes it, that positions x [atoms, 3] show."""
    labels = []
    for index in centres:
        neighbours = [bond.GetOtherAtomIdx(index) for bond in rdmol.GetAtomWithIdx(index).GetBonds()]
        volume = handed_volume(x[[index]], x[[index, *neighbours][-4:]])
        labels.append(bool(volume > 0) == (len(neighbours) == 4))
    for index in double_bonds:
        (a, b), (d, c) = _double_bond_ends(rdmol.GetBondWithIdx(index))
        across = np.cross(x[a] - x[b], x[c] - x[b]) @ np.cross(x[d] - x[c], x[c] - x[b])
        labels.append(bool(across < 0))
    return tuple(labels)


def _double_bond_ends(bond: Chem.Bond) -> tuple[tuple[int, int], tuple[int, int]]:
    """(substituent, atom) at both ends of a double bond: the substituent of lowest index at each."""
    begin, end = bond.GetBeginAtom(), bond.GetEndAtom()
    first = min(a.GetIdx() for a in begin.GetNeighbors() if a.GetIdx() != end.GetIdx())
    last = min(a.GetIdx() for a in end.GetNeighbors() if a.GetIdx() != begin.GetIdx())
    return (first, begin.GetIdx()), (last, end.GetIdx())


def _unspecified(rdmol: Chem.Mol) -> tuple[list[int], list[int]]:
    """Indices of the tetrahedral atoms and of the double bonds whose stereo is real but not given."""
    heavy = Chem.Mol(rdmol)
    for atom in heavy.GetAtoms():
        atom.SetIntProp("_index", atom.GetIdx())
    with rdBase.BlockLogs():
        heavy = Chem.RemoveHs(heavy)
    specified = Chem.StereoSpecified.Specified  # wavy and crossed bonds of a mol file are "Unknown": open too
    delocalised = {bond.GetIdx() for bond in delocalised_bonds(rdmol)}
    resonant = resonant_centres(rdmol)
    # Without explicit hydrogens the N–H of an aziridine, which inverts, is no centre.
    centres = [
        heavy.GetAtomWithIdx(info.centeredOn).GetIntProp("_index")
        for info in Chem.FindPotentialStereo(heavy)
        if info.type == Chem.StereoType.Atom_Tetrahedral and info.specified != specified
    ]
    centres = [centre for centre in centres if centre not in resonant]
    # With explicit hydrogens the two sides of an imine C=N–H are told apart.
    double_bonds = [
        info.centeredOn
        for info in Chem.FindPotentialStereo(Chem.Mol(rdmol))
        if info.type == Chem.StereoType.Bond_Double
        and info.specified != specified
        and info.centeredOn not in delocalised
        and not _is_cumulated(rdmol.GetBondWithIdx(info.centeredOn))
    ]
    return centres, double_bonds


def _require_labels_for(rdmol: Chem.Mol) -> None:
    """Raises InputError where a carbon or silicon has four unlike neighbours and yet no label."""
    graph = MolecularGraph.from_rdmol(rdmol)
    for atom in rdmol.GetAtoms():
        around = graph.neighbours[atom.GetIdx()]
        unlike = len(around) == 4 and len({graph.classes[n] for n in around}) == 4
        labelled = atom.GetChiralTag() != Chem.ChiralType.CHI_UNSPECIFIED
        if atom.GetAtomicNum() in (6, 14) and unlike and not labelled:
            raise InputError(
                f"Atom {atom.GetIdx()} of '{canonical_smiles(rdmol)}' is a stereocentre by the stereo of its "
                "branches alone, which RDKit cannot label: give a molecule without such a centre."
            )


def without_unknown_marks(rdmol: Chem.Mol) -> Chem.Mol:
    """A copy without the wavy and crossed bonds of a mol file, for which no label would be taken."""
    rdmol = Chem.Mol(rdmol)
    for bond in rdmol.GetBonds():
        if bond.GetBondDir() in (Chem.BondDir.UNKNOWN, Chem.BondDir.EITHERDOUBLE):
            bond.SetBondDir(Chem.BondDir.NONE)
        if bond.GetStereo() == Chem.BondStereo.STEREOANY:
            bond.SetStereo(Chem.BondStereo.STEREONONE)
        bond.ClearProp("_UnknownStereo")
    return rdmol


def _is_cumulated(bond: Chem.Bond) -> bool:
    return any(
        other.GetIdx() != bond.GetIdx() and other.GetBondType() == Chem.BondType.DOUBLE
        for atom in (bond.GetBeginAtom(), bond.GetEndAtom())
        for other in atom.GetBonds()
    )


def _tagged(rdmol: Chem.Mol, centres: list[int], choice: tuple[bool, ...]) -> Chem.Mol:
    """A copy with the labels of ``choice`` at ``centres``, clockwise where it is true."""
    copy = Chem.Mol(rdmol)
    tags = (Chem.ChiralType.CHI_TETRAHEDRAL_CCW, Chem.ChiralType.CHI_TETRAHEDRAL_CW)
    for index, flag in zip(centres, choice, strict=False):
        copy.GetAtomWithIdx(index).SetChiralTag(tags[flag])
    return copy


def _labelled(
    rdmol: Chem.Mol, centres: list[int], double_bonds: list[int], choice: tuple[bool, ...]
) -> Chem.Mol:
    isomer = _tagged(without_unknown_marks(rdmol), centres, choice)
    geometries = (Chem.BondStereo.STEREOCIS, Chem.BondStereo.STEREOTRANS)
    for index, flag in zip(double_bonds, choice[len(centres) :], strict=True):
        bond = isomer.GetBondWithIdx(index)
        (first, _), (last, _) = _double_bond_ends(bond)
        bond.SetStereoAtoms(first, last)
        bond.SetStereo(geometries[flag])
    Chem.SetDoubleBondNeighborDirections(isomer)
    Chem.AssignStereochemistry(isomer, cleanIt=True, force=True)
    for index in centres:  # a label that tells nothing apart (cubane, the nitrogens of DABCO) is none
        tag = isomer.GetAtomWithIdx(index).GetChiralTag()
        labelled_smiles = canonical_smiles(isomer)
        isomer.GetAtomWithIdx(index).SetChiralTag(Chem.ChiralType.CHI_UNSPECIFIED)
        if canonical_smiles(isomer) != labelled_smiles:
            isomer.GetAtomWithIdx(index).SetChiralTag(tag)
    return isomer


def _embeds(rdmol: Chem.Mol) -> bool:
    parameters: Any = rdDistGeom.ETKDGv3()
    parameters.randomSeed, parameters.maxIterations = 1, EMBEDDING_ATTEMPTS
    with rdBase.BlockLogs():
        return rdDistGeom.EmbedMolecule(Chem.Mol(rdmol), parameters) >= 0
