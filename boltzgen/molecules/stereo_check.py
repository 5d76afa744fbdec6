"""The last check of conformers before they are written: RDKit sees the molecule's stereo in their positions.

It knows nothing of internal coordinates, models and labels of atoms: only positions, and the molecule as it
was given.
"""

from __future__ import annotations

import time

import numpy as np
from rdkit import Chem

from boltzgen.errors import EvaluationError, InputError
from boltzgen.molecules.molecule import Molecule
from boltzgen.molecules.stereo import StereoElements, canonical_smiles, conformer
from boltzgen.molecules.unkept_stereo import TETRAHEDRAL

ROUNDING = 1e-3  # of a margin, with positions in single precision
FLAT = 0.1  # RDKit's: it perceives no stereo below it, or judges by other neighbours
PERCEPTION_SECONDS = 3.0


def require_stereo(molecule: Molecule, positions: np.ndarray, seconds: float = PERCEPTION_SECONDS) -> int:
    """Require that ``positions`` show the stereo of ``molecule``, by two ways of judging.

    Signed volumes and sides of double bonds are computed for every conformer at once. RDKit perceives the
    stereo of one conformer after the other (about 0.1 ms each) until ``seconds`` have passed. Conformers so
    flat or bent that it depends on the choice of neighbours what RDKit perceives are judged by signs alone.

    Parameters
    ----------
    molecule : Molecule
    positions : array [n, atoms, 3]
        In nm, the most important first.
    seconds : float
        Time for RDKit's perception.

    Returns
    -------
    int
        How many conformers RDKit perceived.

    Raises
    ------
    EvaluationError
        Where a conformer shows other stereo than the molecule, with the number of these.
    """
    margins = molecule.stereo.margins(positions).min(axis=1, initial=1.0)
    other = np.flatnonzero(~(margins > -ROUNDING))
    if len(other):
        raise _fault(molecule, len(other), len(positions), positions[other[0]])
    clear = (margins > FLAT) & (_other_choices(molecule).margins(positions) > 0).all(axis=1)
    bare = _bare(molecule)
    potential = list(Chem.FindPotentialStereo(Chem.Mol(bare)))
    bonds = [info.centeredOn for info in potential if info.type == Chem.StereoType.Bond_Double]
    centres = [info.centeredOn for info in potential if info.type == Chem.StereoType.Atom_Tetrahedral]
    known: set[tuple[int, ...]] = set()
    until = time.monotonic() + seconds
    for number, x in enumerate(positions):
        if time.monotonic() > until:
            return number
        perceived = _perceived(bare, x)
        labels = (
            *(int(perceived.GetAtomWithIdx(index).GetChiralTag()) for index in centres),
            *(int(perceived.GetBondWithIdx(index).GetStereo()) for index in bonds),
        )
        if clear[number] and labels not in known:
            if not _agrees(perceived, molecule):
                raise _fault(molecule, 1, len(positions), x)
            known.add(labels)
    return len(positions)


def require_readable(molecule: Molecule, conformers: np.ndarray) -> None:
    """Require that RDKit reads the stereo of ``molecule`` from all of its ``conformers`` [n, atoms, 3] nm.

    From some of them it reads another where a centre is so strained that three of its bonds are all but in a
    plane, as in morphine with one centre of its cage inverted. Raises InputError, which names the other.
    """
    bare = _bare(molecule)
    perceived = [_perceived(bare, x) for x in conformers]
    agrees = [_agrees(one, molecule) for one in perceived]
    if any(agrees) and not all(agrees):
        other = canonical_smiles(perceived[agrees.index(False)])
        raise InputError(
            f"'{molecule.smiles}' is so strained that its conformers cannot be told from those of '{other}':"
            " check the stereo labels."
        )


def _bare(molecule: Molecule) -> Chem.Mol:
    """``molecule`` without stereo and conformers."""
    bare = Chem.Mol(molecule.rdmol)
    bare.RemoveAllConformers()
    Chem.RemoveStereochemistry(bare)
    return bare


def _other_choices(molecule: Molecule) -> StereoElements:
    """The stereo elements by three neighbours or others, which agree unless an atom is badly bent."""
    given = molecule.stereo
    neighbours = [[n.GetIdx() for n in atom.GetNeighbors()] for atom in molecule.rdmol.GetAtoms()]
    centres, handedness = [], []
    for (centre, *four), sign in zip(given.centres.tolist(), given.handedness.tolist(), strict=True):
        for left_out in range(4 if centre not in four else 0):
            centres.append([centre, *four[:left_out], centre, *four[left_out + 1 :]])
            handedness.append(sign)
    double_bonds, cis = [], []
    for (first, begin, end, last), sign in zip(given.double_bonds.tolist(), given.cis.tolist(), strict=True):
        for a in set(neighbours[begin]) - {end}:
            for d in set(neighbours[end]) - {begin}:
                double_bonds.append([a, begin, end, d])
                cis.append(sign * (1 if a == first else -1) * (1 if d == last else -1))
    return StereoElements(
        np.array(centres, dtype=np.int64).reshape(-1, 5),
        np.array(handedness, dtype=np.int64),
        np.array(double_bonds, dtype=np.int64).reshape(-1, 4),
        np.array(cis, dtype=np.int64),
    )


def _fault(molecule: Molecule, n_other: int, n: int, x: np.ndarray) -> EvaluationError:
    return EvaluationError(
        f"{n_other} of {n} conformers show another stereoisomer than '{molecule.smiles}', the first of them"
        f" '{molecule.smiles_from_positions(x)}': nothing is written; this is a fault of boltzgen, please"
        " report the molecule and the seed."
    )


def _perceived(bare: Chem.Mol, x: np.ndarray) -> Chem.Mol:
    """``bare``, which has no stereo, with that which RDKit perceives from positions x [atoms, 3] nm."""
    perceived = Chem.Mol(bare)
    perceived.AddConformer(conformer(x))
    Chem.AssignStereochemistryFrom3D(perceived)
    return perceived


def _agrees(perceived: Chem.Mol, molecule: Molecule) -> bool:
    """Whether the labels of ``perceived`` make the molecule, those that it lacks taken from the molecule."""
    perceived = Chem.Mol(perceived)
    for atom in perceived.GetAtoms():  # a bent sulfone or phosphate can look octahedral
        if atom.GetChiralTag() not in TETRAHEDRAL:
            atom.SetChiralTag(Chem.ChiralType.CHI_UNSPECIFIED)
    completed = Chem.Mol(perceived)
    for atom, given in zip(completed.GetAtoms(), molecule.rdmol.GetAtoms(), strict=True):
        if atom.GetChiralTag() == Chem.ChiralType.CHI_UNSPECIFIED:
            atom.SetChiralTag(given.GetChiralTag())
    sides = StereoElements.of(molecule.rdmol)
    for (first, begin, end, last), cis in zip(sides.double_bonds.tolist(), sides.cis, strict=True):
        bond = completed.GetBondBetweenAtoms(begin, end)
        if bond.GetStereo() <= Chem.BondStereo.STEREOANY:
            ordered = (first, last) if bond.GetBeginAtomIdx() == begin else (last, first)
            bond.SetStereoAtoms(*ordered)
            bond.SetStereo(Chem.BondStereo.STEREOCIS if cis > 0 else Chem.BondStereo.STEREOTRANS)
    Chem.SetDoubleBondNeighborDirections(completed)
    return molecule.smiles in (canonical_smiles(perceived), canonical_smiles(completed))
