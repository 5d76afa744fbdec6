"""Stereo of a molecule: what its labels say, and what positions in space show.

Energies, distances and weights are blind to reflection, so that stereo is always judged from positions.
Kept are tetrahedral centres and E/Z bonds. Phosphates and the like whose oxygens differ in the drawing only
are no centres. Pyramidal nitrogen, amides, amidinium (whose double bond only the
drawing places), esters and the axial chirality of biaryls are not stereo here: they are sampled or follow
from the seed conformers. Other kinds are refused (unkept_stereo.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from rdkit import Chem, rdBase

from boltzgen.molecules.symmetry import delocalised_groups
from boltzgen.units import NM_PER_ANGSTROM

REGULAR_TETRAHEDRON = 16.0 / 27.0**0.5  # six times its volume, its corners at distance one from the centre


def canonical_smiles(rdmol: Chem.Mol) -> str:
    """Canonical isomeric SMILES without explicit hydrogens (save those a label or a graph needs).

    Double bonds that could be drawn elsewhere show no side.
    """
    with rdBase.BlockLogs():
        return Chem.MolToSmiles(Chem.RemoveHs(without_delocalised_stereo(rdmol)))


def delocalised_bonds(rdmol: Chem.Mol) -> list[Chem.Bond]:
    """The double bonds of amidinium, carboxylate and the like."""
    pairs = [(centre, member) for centre, group in delocalised_groups(rdmol) for member in group]
    bonds = [rdmol.GetBondBetweenAtoms(*pair) for pair in pairs]
    return [bond for bond in bonds if bond.GetBondType() == Chem.BondType.DOUBLE]


def resonant_centres(rdmol: Chem.Mol) -> set[int]:
    """Atoms with two terminal neighbours that differ in the drawing only: P(=O)[O-], S(=O)[O-], P(=S)[S-]."""
    isotopes = {
        centre: [rdmol.GetAtomWithIdx(member).GetIsotope() for member in group]
        for centre, group in delocalised_groups(rdmol)
    }
    return {centre for centre, found in isotopes.items() if len(set(found)) < len(found)}


def without_delocalised_stereo(rdmol: Chem.Mol) -> Chem.Mol:
    """``rdmol`` without labels that depend on where charges and bonds are drawn; itself without any."""
    bonds = [b.GetIdx() for b in delocalised_bonds(rdmol) if b.GetStereo() != Chem.BondStereo.STEREONONE]
    unlabelled = Chem.ChiralType.CHI_UNSPECIFIED
    centres = [i for i in resonant_centres(rdmol) if rdmol.GetAtomWithIdx(i).GetChiralTag() != unlabelled]
    if not bonds and not centres:
        return rdmol
    rdmol = Chem.Mol(rdmol)
    for index in centres:
        rdmol.GetAtomWithIdx(index).SetChiralTag(unlabelled)
    if bonds:
        for index in bonds:
            rdmol.GetBondWithIdx(index).SetStereo(Chem.BondStereo.STEREONONE)
        for bond in rdmol.GetBonds():
            bond.SetBondDir(Chem.BondDir.NONE)
        Chem.SetDoubleBondNeighborDirections(rdmol)
    return rdmol


def smiles_from_positions(rdmol: Chem.Mol, positions: np.ndarray) -> str:
    """Canonical SMILES with the stereo that ``positions`` [atoms, 3] nm show, not the labels of ``rdmol``.

    RDKit perceives no three-coordinate phosphorus and no aziridine nitrogen; ``StereoElements`` judges both.
    """
    bare = Chem.Mol(rdmol)
    Chem.RemoveStereochemistry(bare)
    bare.RemoveAllConformers()
    bare.AddConformer(conformer(positions), assignId=True)
    Chem.AssignStereochemistryFrom3D(bare)
    _perceive_one_sided(bare, np.asarray(positions, dtype=np.float64))
    return canonical_smiles(bare)


def _perceive_one_sided(rdmol: Chem.Mol, x: np.ndarray) -> None:
    """Labels centres whose four neighbours are on one side, at which RDKit goes by any three of them."""
    for atom in rdmol.GetAtoms():
        if atom.GetDegree() != 4 or atom.GetChiralTag() == Chem.ChiralType.CHI_UNSPECIFIED:
            continue
        centre = x[[atom.GetIdx()]]
        four = x[[bond.GetOtherAtomIdx(atom.GetIdx()) for bond in atom.GetBonds()]]
        volume = handed_volume(centre, four)
        replaced = np.array([np.where(np.arange(4)[:, None] == k, centre, four) for k in range(4)])
        if (np.sign(handed_volume(centre, replaced)) != np.sign(volume)).any():
            ccw, cw = Chem.ChiralType.CHI_TETRAHEDRAL_CCW, Chem.ChiralType.CHI_TETRAHEDRAL_CW
            atom.SetChiralTag(ccw if volume < 0 else cw)


def conformer(positions: np.ndarray) -> Chem.Conformer:
    """RDKit's conformer (Å) of positions [atoms, 3] nm."""
    result = Chem.Conformer(len(positions))
    result.Set3D(True)
    result.SetPositions(np.ascontiguousarray(positions, dtype=np.float64) / NM_PER_ANGSTROM)
    return result


def handed_volume(centre: np.ndarray, four: np.ndarray) -> np.ndarray:
    """Six times the signed volume [...] of the tetrahedron of directions from a centre to four points.

    ``centre`` [..., 1, 3], ``four`` [..., 4, 3]; a point at the centre stays there. The triple product of
    three of the directions will not do: its sign depends on which three where all four point to one side of a
    plane, as at the bridgeheads of bicyclobutane.
    """
    u = _directions(four - centre)
    a, b, c = (u[..., k, :] - u[..., 0, :] for k in (1, 2, 3))
    return np.einsum("...i,...i->...", np.cross(a, b), c)


@dataclass(frozen=True)
class StereoElements:
    """The labelled stereo elements of a molecule as signs of determinants.

    ``centres`` [c, 5]: a tetrahedral atom and its four neighbours, or, of a pyramid, the atom itself for the
    lone pair and its three neighbours; ``handedness`` [c]: the sign of the volume that the directions to the
    four span (see ``handed_volume``). ``double_bonds`` [d, 4]: a–b=c–d; ``cis`` [d]: +1 where a and d are on
    the same side, −1 where not.
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
            # Of four, the last three seen from the first; of three, the lone pair stands for the fourth.
            four = neighbours if len(neighbours) == 4 else [atom.GetIdx(), *neighbours]
            sign = 1 if len(neighbours) == 4 else -1
            centres.append([atom.GetIdx(), *four])
            handedness.append(-sign if atom.GetChiralTag() == ccw else sign)
        double_bonds, cis = [], []
        delocalised = {bond.GetIdx() for bond in delocalised_bonds(rdmol)}
        for bond in rdmol.GetBonds():
            stereo = bond.GetStereo()
            if stereo <= Chem.BondStereo.STEREOANY or bond.GetIdx() in delocalised:
                continue
            first, last = bond.GetStereoAtoms()
            double_bonds.append([first, bond.GetBeginAtomIdx(), bond.GetEndAtomIdx(), last])
            cis.append(1 if stereo in (Chem.BondStereo.STEREOZ, Chem.BondStereo.STEREOCIS) else -1)
        return cls(
            np.array(centres, dtype=np.int64).reshape(-1, 5),
            np.array(handedness, dtype=np.int64),
            np.array(double_bonds, dtype=np.int64).reshape(-1, 4),
            np.array(cis, dtype=np.int64),
        )

    def kept(self, positions: np.ndarray) -> np.ndarray:
        """Which of ``positions`` [n, atoms, 3] show every element with its sign: bool [n]."""
        return np.all(self.margins(positions) > 0, axis=1)

    def margins(self, positions: np.ndarray) -> np.ndarray:
        """How clearly ``positions`` [n, atoms, 3] show each element: [n, elements] in [−1, 1].

        Positive where an element has its sign: the volume that four neighbours' directions span, over that of
        a regular tetrahedron, that of a pyramid's three directions, or the cosine of a double bond's torsion.
        """
        x = np.asarray(positions, dtype=np.float64)
        volume = handed_volume(x[:, self.centres[:, :1]], x[:, self.centres[:, 1:]])
        tetrahedral = (self.centres[:, 1:] != self.centres[:, :1]).all(axis=1)
        volume /= np.where(tetrahedral, REGULAR_TETRAHEDRON, 1.0)
        a, b, c, d = (x[:, self.double_bonds[:, k]] for k in range(4))
        axis = c - b
        first, last = _directions(np.cross(a - b, axis)), _directions(np.cross(d - c, axis))
        same_side = np.einsum("nci,nci->nc", first, last)
        return np.concatenate([volume * self.handedness, same_side * self.cis], axis=1)


def _directions(vectors: np.ndarray) -> np.ndarray:
    """``vectors`` [..., 3] at length one, zero where they have none."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
