"""Stereo of a molecule: what its graph leaves open, and what positions in space show.

Energies, distances and weights are blind to reflection, so that stereo is always judged from positions.
Kept are tetrahedral centres and E/Z bonds. Pyramidal nitrogen, amides, amidinium (whose double bond only the
drawing places), esters and the axial chirality of biaryls are not stereo here: they are sampled or follow
from the seed conformers. Other kinds are refused (unkept_stereo.py).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from rdkit import Chem, rdBase
from rdkit.Chem import rdDistGeom

from boltzgen.errors import InputError
from boltzgen.molecules.symmetry import MolecularGraph, delocalised_groups
from boltzgen.units import NM_PER_ANGSTROM

MOST_LISTED_ISOMERS = 64
MOST_TRIED_LABELS = 1024
MOST_EMBEDDED_ISOMERS = 8
EMBEDDING_ATTEMPTS = 200  # bicyclobutane takes more than 20


def canonical_smiles(rdmol: Chem.Mol) -> str:
    """Canonical isomeric SMILES without explicit hydrogens (save those a label or a graph needs).

    Double bonds that could be drawn elsewhere show no side.
    """
    with rdBase.BlockLogs():
        return Chem.MolToSmiles(Chem.RemoveHs(_without_delocalised_stereo(rdmol)))


def stereoisomers(rdmol: Chem.Mol) -> list[Chem.Mol]:
    """Every distinct molecule that gives a label to each stereo element ``rdmol`` leaves open.

    ``rdmol`` has explicit hydrogens. A molecule without open elements comes back alone, as it is. Up to
    ``MOST_EMBEDDED_ISOMERS`` isomers are tried in three dimensions and the impossible ones dropped (the
    trans bridgeheads of norbornane); at most ``MOST_LISTED_ISOMERS`` are returned, out of the first
    ``MOST_TRIED_LABELS`` combinations of labels. Raises InputError for a centre that RDKit cannot label: one
    between rings that differ by cis and trans alone.
    """
    rdmol = _without_delocalised_stereo(rdmol)
    centres, double_bonds = _unspecified(rdmol)
    if not centres and not double_bonds:
        _require_labels_for(rdmol)
        return [rdmol]
    _require_labels_for(_labelled(rdmol, centres, double_bonds, (False,) * len(centres + double_bonds)))
    isomers: dict[str, Chem.Mol] = {}
    choices = itertools.product((False, True), repeat=len(centres) + len(double_bonds))
    for choice in itertools.islice(choices, MOST_TRIED_LABELS):
        isomer = _labelled(rdmol, centres, double_bonds, choice)
        isomers.setdefault(canonical_smiles(isomer), isomer)
        if len(isomers) == MOST_LISTED_ISOMERS:
            break
    if 1 < len(isomers) <= MOST_EMBEDDED_ISOMERS:
        isomers = {smiles: isomer for smiles, isomer in isomers.items() if _embeds(isomer)}
    return [isomers[smiles] for smiles in sorted(isomers)]


def _unspecified(rdmol: Chem.Mol) -> tuple[list[int], list[int]]:
    """Indices of the tetrahedral atoms and of the double bonds whose stereo is real but not given."""
    heavy = Chem.Mol(rdmol)
    for atom in heavy.GetAtoms():
        atom.SetIntProp("_index", atom.GetIdx())
    with rdBase.BlockLogs():
        heavy = Chem.RemoveHs(heavy)
    specified = Chem.StereoSpecified.Specified  # wavy and crossed bonds of a mol file are "Unknown": open too
    delocalised = {bond.GetIdx() for bond in _delocalised_bonds(rdmol)}
    # Without explicit hydrogens the N–H of an aziridine, which inverts, is no centre.
    centres = [
        heavy.GetAtomWithIdx(info.centeredOn).GetIntProp("_index")
        for info in Chem.FindPotentialStereo(heavy)
        if info.type == Chem.StereoType.Atom_Tetrahedral and info.specified != specified
    ]
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


def _delocalised_bonds(rdmol: Chem.Mol) -> list[Chem.Bond]:
    """The double bonds of amidinium, carboxylate and the like."""
    pairs = [(centre, member) for centre, group in delocalised_groups(rdmol) for member in group]
    bonds = [rdmol.GetBondBetweenAtoms(*pair) for pair in pairs]
    return [bond for bond in bonds if bond.GetBondType() == Chem.BondType.DOUBLE]


def _without_delocalised_stereo(rdmol: Chem.Mol) -> Chem.Mol:
    """``rdmol`` without labels on double bonds that could be drawn elsewhere; itself if there are none."""
    labelled = [b.GetIdx() for b in _delocalised_bonds(rdmol) if b.GetStereo() != Chem.BondStereo.STEREONONE]
    if not labelled:
        return rdmol
    rdmol = Chem.Mol(rdmol)
    for index in labelled:
        rdmol.GetBondWithIdx(index).SetStereo(Chem.BondStereo.STEREONONE)
    for bond in rdmol.GetBonds():
        bond.SetBondDir(Chem.BondDir.NONE)
    Chem.SetDoubleBondNeighborDirections(rdmol)
    return rdmol


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


def _labelled(
    rdmol: Chem.Mol, centres: list[int], double_bonds: list[int], choice: tuple[bool, ...]
) -> Chem.Mol:
    isomer = without_unknown_marks(rdmol)
    tags = (Chem.ChiralType.CHI_TETRAHEDRAL_CCW, Chem.ChiralType.CHI_TETRAHEDRAL_CW)
    geometries = (Chem.BondStereo.STEREOCIS, Chem.BondStereo.STEREOTRANS)
    for index, flag in zip(centres, choice, strict=False):
        isomer.GetAtomWithIdx(index).SetChiralTag(tags[flag])
    for index, flag in zip(double_bonds, choice[len(centres) :], strict=True):
        bond = isomer.GetBondWithIdx(index)
        begin, end = bond.GetBeginAtom(), bond.GetEndAtom()
        first = min(a.GetIdx() for a in begin.GetNeighbors() if a.GetIdx() != end.GetIdx())
        last = min(a.GetIdx() for a in end.GetNeighbors() if a.GetIdx() != begin.GetIdx())
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


def smiles_from_positions(rdmol: Chem.Mol, positions: np.ndarray) -> str:
    """Canonical SMILES with the stereo that ``positions`` [atoms, 3] nm show, not the labels of ``rdmol``.

    RDKit perceives no three-coordinate phosphorus and no aziridine nitrogen; ``StereoElements`` judges both.
    """
    bare = Chem.Mol(rdmol)
    Chem.RemoveStereochemistry(bare)
    bare.RemoveAllConformers()
    bare.AddConformer(conformer(positions), assignId=True)
    Chem.AssignStereochemistryFrom3D(bare)
    return canonical_smiles(bare)


def conformer(positions: np.ndarray) -> Chem.Conformer:
    """RDKit's conformer (Å) of positions [atoms, 3] nm."""
    result = Chem.Conformer(len(positions))
    result.Set3D(True)
    result.SetPositions(np.ascontiguousarray(positions, dtype=np.float64) / NM_PER_ANGSTROM)
    return result


@dataclass(frozen=True)
class StereoElements:
    """The labelled stereo elements of a molecule as signs of determinants.

    ``centres`` [c, 4]: a tetrahedral atom and three of its neighbours; ``handedness`` [c]: the sign of the
    triple product of the vectors from the atom to these neighbours. ``double_bonds`` [d, 4]: a–b=c–d;
    ``cis`` [d]: +1 where a and d are on the same side, −1 where not.
    """

    centres: np.ndarray
    handedness: np.ndarray
    double_bonds: np.ndarray
    cis: np.ndarray

    @classmethod
    def of(cls, rdmol: Chem.Mol) -> StereoElements:
        """The elements that ``rdmol`` labels, but for double bonds that could be drawn elsewhere."""
        ccw, cw = Chem.ChiralType.CHI_TETRAHEDRAL_CCW, Chem.ChiralType.CHI_TETRAHEDRAL_CW
        centres, handedness = [], []
        for atom in rdmol.GetAtoms():
            if atom.GetChiralTag() not in (ccw, cw):
                continue
            neighbours = [bond.GetOtherAtomIdx(atom.GetIdx()) for bond in atom.GetBonds()]
            # CCW: seen from the first neighbour the others turn counterclockwise, in the order of the bonds.
            # The first three are taken, as RDKit does: of badly bent centres other three may tell otherwise.
            # Of three neighbours, the lone pair stands for the fourth.
            centres.append([atom.GetIdx(), *neighbours[:3]])
            handedness.append(1 if atom.GetChiralTag() == ccw else -1)
        double_bonds, cis = [], []
        delocalised = {bond.GetIdx() for bond in _delocalised_bonds(rdmol)}
        for bond in rdmol.GetBonds():
            stereo = bond.GetStereo()
            if stereo <= Chem.BondStereo.STEREOANY or bond.GetIdx() in delocalised:
                continue
            first, last = bond.GetStereoAtoms()
            double_bonds.append([first, bond.GetBeginAtomIdx(), bond.GetEndAtomIdx(), last])
            cis.append(1 if stereo in (Chem.BondStereo.STEREOZ, Chem.BondStereo.STEREOCIS) else -1)
        return cls(
            np.array(centres, dtype=np.int64).reshape(-1, 4),
            np.array(handedness, dtype=np.int64),
            np.array(double_bonds, dtype=np.int64).reshape(-1, 4),
            np.array(cis, dtype=np.int64),
        )

    def kept(self, positions: np.ndarray) -> np.ndarray:
        """Which of ``positions`` [n, atoms, 3] show every element with its sign: bool [n]."""
        return np.all(self.margins(positions) > 0, axis=1)

    def margins(self, positions: np.ndarray) -> np.ndarray:
        """How clearly ``positions`` [n, atoms, 3] show each element: [n, elements] in [−1, 1].

        The determinant over the product of its vectors' lengths, positive where it has the element's sign:
        the volume of three neighbours' directions, or the cosine of a double bond's torsion.
        """
        x = np.asarray(positions, dtype=np.float64)
        a, b, c, d = (x[:, self.centres[:, k]] for k in range(4))
        b, c, d = (_directions(bond) for bond in (b - a, c - a, d - a))
        triple = np.einsum("nci,nci->nc", np.cross(b, c), d)
        a, b, c, d = (x[:, self.double_bonds[:, k]] for k in range(4))
        axis = c - b
        first, last = _directions(np.cross(a - b, axis)), _directions(np.cross(d - c, axis))
        same_side = np.einsum("nci,nci->nc", first, last)
        return np.concatenate([triple * self.handedness, same_side * self.cis], axis=1)


def _directions(vectors: np.ndarray) -> np.ndarray:
    """``vectors`` [..., 3] at length one, zero where they have none."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
