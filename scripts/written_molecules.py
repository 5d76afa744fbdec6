"""What a run wrote, read by numpy and RDKit alone and compared with the SMILES that it was asked for."""

from pathlib import Path

import numpy as np
from rdkit import Chem, rdBase
from rdkit.Chem import rdMolTransforms

BOND_RANGE = (0.6, 1.45)  # of the sum of covalent radii
# Amidinium and guanidinium: the double bond is where the drawing has it, and has no side.
DELOCALISED = Chem.MolFromSmarts("[CX3](=[N+])[NX3]")
# Phosphates, sulfinates: the drawing chooses which oxygen has the charge, and so a label at the centre.
RESONANT = [Chem.MolFromSmarts(f"[#15,#16,#33](={element})[{element}-]") for element in "OS"]
CUMULENE = Chem.MolFromSmarts("*=[CX2]=*")


def wrong_arrays(path: Path, n_samples: int) -> str:
    """What is wrong with the arrays of an ensemble of ``n_samples``, "" where nothing is."""
    with np.load(path) as arrays:
        x, log_weights = arrays["positions"], arrays["log_weights"]
        energies = arrays["reduced_energies"]
    if len(x) != n_samples:
        return f"{len(x)} samples instead of {n_samples}"
    if not np.isfinite(x).all():
        return "positions that are not finite"
    if np.isnan(log_weights).any() or (log_weights == np.inf).any() or np.isnan(energies).any():
        return "log weights or energies that are not numbers"
    if not np.isfinite(energies[np.isfinite(log_weights)]).all():
        return "a sample with a weight and without a finite energy"
    return ""


def wrong_conformers(smiles: str, path: Path) -> str:
    """The first difference between the molecule of ``smiles`` and what RDKit reads from an .sdf file."""
    with rdBase.BlockLogs(), Chem.SDMolSupplier(str(path), removeHs=False) as supplier:
        written = list(supplier)
    if not written or None in written:
        return f"{path.name} cannot be read by RDKit"
    weights = [float(mol.GetProp("weight")) for mol in written]
    if not 0 < sum(weights) < 1 + 1e-4:
        return f"weights of conformers add up to {sum(weights)}"
    with rdBase.BlockLogs():
        given = Chem.MolFromSmiles(smiles)  # None for a peptide sequence, which RDKit cannot check here
        wanted = None if given is None else without_resonant_labels(Chem.RemoveHs(given))
        pyramids = labelled_pyramids(wanted)
        seen: set[str] = set()
        for mol in written:
            if torn := wrong_bond(mol):
                return torn
            shown = stereo_from_positions(mol, pyramids)
            if wanted is not None and flat_smiles(shown) != flat_smiles(wanted):
                return f"another molecule: {flat_smiles(shown)} instead of {flat_smiles(wanted)}"
            if wanted is not None and not shown.HasSubstructMatch(wanted, useChirality=True):
                return f"another stereoisomer: {Chem.MolToSmiles(shown)}"
            seen.add(Chem.MolToSmiles(shown) + "".join(cumulenes(mol)))
    return "" if len(seen) == 1 else f"several stereoisomers together: {'  '.join(sorted(seen)[:4])}"


def flat_smiles(mol: Chem.Mol) -> str:
    """Canonical SMILES with isotopes and charges, without stereo."""
    flat = Chem.Mol(mol)
    Chem.RemoveStereochemistry(flat)
    return Chem.MolToSmiles(flat)


def labelled_pyramids(mol: Chem.Mol | None) -> set[int]:
    """Atomic numbers of the labelled stereocentres with three bonds, sulfur left out."""
    unlabelled = Chem.ChiralType.CHI_UNSPECIFIED
    atoms = [] if mol is None else mol.GetAtoms()
    labelled = [a for a in atoms if a.GetTotalDegree() == 3 and a.GetChiralTag() != unlabelled]
    return {atom.GetAtomicNum() for atom in labelled} & {7, 15, 33}


def stereo_from_positions(mol: Chem.Mol, pyramids: set[int]) -> Chem.Mol:
    """``mol`` without hydrogens, with the stereo of its positions, save that of delocalised bonds.

    ``pyramids``: elements (7, 15, 33) of which atoms with three bonds are stereocentres.
    """
    shown = Chem.Mol(mol)
    Chem.RemoveStereochemistry(shown)
    Chem.AssignStereochemistryFrom3D(shown)
    label_pyramids(shown, pyramids)
    shown = without_resonant_labels(Chem.RemoveHs(shown))
    for index, *_ in shown.GetSubstructMatches(DELOCALISED):
        for bond in shown.GetAtomWithIdx(index).GetBonds():
            bond.SetStereo(Chem.BondStereo.STEREONONE)
            bond.SetBondDir(Chem.BondDir.NONE)
    for bond in shown.GetBonds():  # directions are what SMILES are written from
        if bond.GetStereo() == Chem.BondStereo.STEREONONE and bond.GetBondDir() != Chem.BondDir.NONE:
            bond.SetBondDir(Chem.BondDir.NONE)
    Chem.SetDoubleBondNeighborDirections(shown)
    return shown


def without_resonant_labels(mol: Chem.Mol) -> Chem.Mol:
    """``mol`` without labels of centres two of whose neighbours differ in the drawing only."""
    mol = Chem.Mol(mol)
    for pattern in RESONANT:
        for centre, *_ in mol.GetSubstructMatches(pattern):
            mol.GetAtomWithIdx(centre).SetChiralTag(Chem.ChiralType.CHI_UNSPECIFIED)
    return mol


def label_pyramids(mol: Chem.Mol, pyramids: set[int]) -> None:
    """Labels the atoms of the elements ``pyramids`` with three bonds that RDKit lets be stereocentres.

    RDKit keeps such labels of a SMILES and does not perceive them from positions; without them it also drops
    those of carbons that depend on them.
    """
    x = mol.GetConformer().GetPositions()
    centres = [a for a in mol.GetAtoms() if a.GetAtomicNum() in pyramids and a.GetDegree() == 3]
    for atom in centres:
        a, b, c = (x[bond.GetOtherAtomIdx(atom.GetIdx())] - x[atom.GetIdx()] for bond in atom.GetBonds())
        counterclockwise = float(np.dot(np.cross(a, b), c)) > 0
        kinds = Chem.ChiralType.CHI_TETRAHEDRAL_CCW, Chem.ChiralType.CHI_TETRAHEDRAL_CW
        atom.SetChiralTag(kinds[0] if counterclockwise else kinds[1])
    if centres:
        Chem.AssignAtomChiralTagsFromStructure(mol, replaceExistingTags=False)
        Chem.AssignStereochemistry(mol, cleanIt=True, force=True)


def wrong_bond(mol: Chem.Mol) -> str:
    table = Chem.GetPeriodicTable()
    x = mol.GetConformer().GetPositions()
    for bond in mol.GetBonds():
        a, b = bond.GetBeginAtom(), bond.GetEndAtom()
        usual = table.GetRcovalent(a.GetAtomicNum()) + table.GetRcovalent(b.GetAtomicNum())
        length = float(np.linalg.norm(x[a.GetIdx()] - x[b.GetIdx()]))
        if not BOND_RANGE[0] < length / usual < BOND_RANGE[1]:
            return f"a bond {a.GetSymbol()}{a.GetIdx()}-{b.GetSymbol()}{b.GetIdx()} of {length:.2f} Å"
    return ""


def cumulenes(mol: Chem.Mol) -> list[str]:
    """The handedness (P, M) of each allene and the side (E, Z) of each odd cumulene with unlike ends."""
    ranks = list(Chem.CanonicalRankAtoms(mol, breakTies=False))
    middles = {match[1] for match in mol.GetSubstructMatches(CUMULENE)}
    labels = []
    for start in mol.GetAtoms():
        for bond in start.GetBonds():
            chain = [start.GetIdx(), bond.GetOtherAtomIdx(start.GetIdx())]
            if bond.GetBondType() != Chem.BondType.DOUBLE or chain[0] in middles or chain[1] not in middles:
                continue
            while chain[-1] in middles:
                around = mol.GetAtomWithIdx(chain[-1]).GetNeighbors()
                chain.append(next(a.GetIdx() for a in around if a.GetIdx() != chain[-2]))
            first = distinguishing(mol, chain[0], chain[1], ranks)
            last = distinguishing(mol, chain[-1], chain[-2], ranks)
            if first is None or last is None:
                continue
            placed = mol.GetConformer()
            angle = rdMolTransforms.GetDihedralDeg(placed, first, chain[0], chain[-1], last)
            if len(chain) % 2:
                labels.append("P" if angle > 0 else "M")
            else:
                labels.append("Z" if abs(angle) < 90 else "E")
    return labels


def distinguishing(mol: Chem.Mol, end: int, inner: int, ranks: list[int]) -> int | None:
    """The neighbour of higher rank at an end of a cumulene, None where both are alike or there is one."""
    others = [a.GetIdx() for a in mol.GetAtomWithIdx(end).GetNeighbors() if a.GetIdx() != inner]
    if len(others) != 2 or ranks[others[0]] == ranks[others[1]]:
        return None
    return max(others, key=lambda index: ranks[index])
