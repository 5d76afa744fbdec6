"""Kinds of stereo that a molecule may have and that are not kept here: refused by name, never mixed.

RDKit has no label for cumulenes (their E/Z isomers, or the axial chirality of allenes), and the coordinates
of this package none for atropisomers and for centres that are not tetrahedral.
"""

from __future__ import annotations

from rdkit import Chem

from boltzgen.errors import InputError

TETRAHEDRAL = (
    Chem.ChiralType.CHI_UNSPECIFIED,
    Chem.ChiralType.CHI_TETRAHEDRAL_CW,
    Chem.ChiralType.CHI_TETRAHEDRAL_CCW,
)
_ATROPISOMERS = (Chem.BondStereo.STEREOATROPCW, Chem.BondStereo.STEREOATROPCCW)
_FIRM_ENDS = (6, 14, 32)  # nitrogen at the end of a cumulene inverts


def require_kept_stereo(rdmol: Chem.Mol, what: str) -> None:
    """InputError where ``rdmol``, with explicit hydrogens, has stereo that is not kept here.

    These are cumulenes with unlike substituents at both ends, whether or not the input labels them, labels of
    atropisomers and of centres that are not tetrahedral, and groups of centres that stand for several
    stereoisomers.
    """
    for atom in rdmol.GetAtoms():
        if atom.GetChiralTag() not in TETRAHEDRAL:
            raise InputError(
                f"{what} labels the stereo of {atom.GetSymbol()} (index {atom.GetIdx()}), which is not"
                " tetrahedral, while only tetrahedral centres and double bonds are kept: give another."
            )
    for bond in rdmol.GetBonds():
        if bond.GetStereo() in _ATROPISOMERS:
            raise InputError(
                f"{what} labels an atropisomer at the bond of atoms {bond.GetBeginAtomIdx()} and"
                f" {bond.GetEndAtomIdx()}, which is not kept, since turns about single bonds are sampled:"
                " remove the label (its wedged bonds) to sample both forms."
            )
    for group in rdmol.GetStereoGroups():
        if group.GetGroupType() != Chem.StereoGroupType.STEREO_ABSOLUTE:
            raise InputError(
                f"{what} stands for several stereoisomers (a stereo group of AND or OR): give one of them,"
                " without the group."
            )
    for chain in stereogenic_cumulenes(rdmol):
        kind = "has E/Z isomers" if len(chain) % 2 == 0 else "is chiral about its axis"
        atoms = "=".join(rdmol.GetAtomWithIdx(index).GetSymbol() for index in chain)
        raise InputError(
            f"{what} has the cumulene {atoms} (atoms {'-'.join(map(str, chain))}), which {kind}; RDKit has no"
            " label for it, so that both forms would be mixed: give a molecule that bears equal substituents"
            " at one of its ends."
        )


def stereogenic_cumulenes(rdmol: Chem.Mol) -> list[list[int]]:
    """Chains of cumulated double bonds, end to end, with unlike substituents at both ends.

    RDKit finds potential stereo at each bond of a chain by its own two atoms, so that the outer bonds say
    whether the substituents at their ends differ.
    """
    potential = {
        info.centeredOn
        for info in Chem.FindPotentialStereo(Chem.Mol(rdmol))
        if info.type == Chem.StereoType.Bond_Double
    }
    found = []
    for chain in _cumulenes(rdmol):
        ends = [rdmol.GetBondBetweenAtoms(*pair) for pair in (chain[:2], chain[-2:])]
        firm = all(
            rdmol.GetAtomWithIdx(index).GetAtomicNum() in _FIRM_ENDS for index in (chain[0], chain[-1])
        )
        if firm and all(bond.GetIdx() in potential for bond in ends):
            found.append(chain)
    return found


def _cumulenes(rdmol: Chem.Mol) -> list[list[int]]:
    """Paths of double bonds through atoms that have nothing but two of them, of at least two bonds."""
    doubles = {
        atom.GetIdx(): [
            bond.GetOtherAtomIdx(atom.GetIdx())
            for bond in atom.GetBonds()
            if bond.GetBondType() == Chem.BondType.DOUBLE
        ]
        for atom in rdmol.GetAtoms()
    }
    inner = {
        index
        for index, others in doubles.items()
        if len(others) == rdmol.GetAtomWithIdx(index).GetDegree() == 2
    }
    chains = []
    for start in sorted(doubles):
        for second in doubles[start]:
            if start in inner or second not in inner:
                continue
            chain = [start, second]
            while chain[-1] in inner:
                chain.append(next(index for index in doubles[chain[-1]] if index != chain[-2]))
            if chain[0] < chain[-1]:
                chains.append(chain)
    return chains
