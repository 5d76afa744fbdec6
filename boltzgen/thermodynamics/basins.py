"""Basins of a molecule by the names that chemists give them.

Rotation about single bonds: anti, gauche± and so on, and cis or trans about the C–N bond of an amide and the
C–O bond of an ester. Saturated rings of six atoms: chair or twist-boat (all that is no chair), and, in
chairs, axial or equatorial for each single substituent. Hydrogen bonds within the molecule: which there are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float
from rdkit import Chem

from boltzgen.conformers import find_states
from boltzgen.molecules.dihedrals import dihedrals
from boltzgen.molecules.molecule import Molecule
from boltzgen.molecules.torsions import torsion_values

LEAST_POPULATION = 1e-3
LEAST_CHAIR_TORSION = math.radians(25.0)
AXIAL = -0.25  # mean cosine of the substituent's torsions into the ring: 0.5 axial, −1 equatorial
BOND_LENGTH, BOND_ANGLE = 0.25, math.radians(120.0)  # nm from H to the acceptor; at H
FEWEST_BONDS = 4  # from donor to acceptor
MOST_PATTERNS = 12
CONJUGATED = "[CX3](=O)-[NX3,OX2;!$([OH])]"

Masks = dict[str, Bool[np.ndarray, " n"]]


def basins(
    molecule: Molecule, positions: Float[np.ndarray, "n atoms 3"], weights: Float[np.ndarray, " n"]
) -> Masks:
    """Which of ``positions`` (nm) are in each basin, by its name; rare ones by ``weights`` are left out."""
    found: Masks = {}
    for group in (
        _rotations(molecule, positions, weights),
        _rings(molecule, positions),
        _hydrogen_bonds(molecule, positions),
    ):
        found |= dict(group)
    share = weights / weights.sum()
    return {name: mask for name, mask in found.items() if share[mask].sum() >= LEAST_POPULATION}


def _rotations(molecule: Molecule, x: np.ndarray, weights: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    conjugated = {
        frozenset((match[0], match[2]))
        for match in molecule.rdmol.GetSubstructMatches(Chem.MolFromSmarts(CONJUGATED))
    }
    for states in find_states(molecule, x, weights):
        torsion = states.torsion
        if torsion.kind != "rotatable" or len(states.labels) < 2:
            continue
        assigned = states.assign(torsion_values(x, [torsion])[:, 0])
        planar = frozenset(torsion.axis) in conjugated
        for state, (label, centre) in enumerate(zip(states.labels, states.centres, strict=True)):
            name = ("cis" if abs(centre) < math.pi / 2 else "trans") if planar else label
            yield f"{torsion.name} {name}", assigned == state


def _rings(molecule: Molecule, x: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    rdmol = molecule.rdmol
    for ring in rdmol.GetRingInfo().AtomRings():
        single = all(
            rdmol.GetBondBetweenAtoms(a, b).GetBondType() == Chem.BondType.SINGLE
            for a, b in zip(ring, ring[1:] + ring[:1], strict=True)
        )
        if len(ring) != 6 or not single:
            continue
        torsions = np.stack([_torsion(x, *(ring[(i + k) % 6] for k in range(4))) for i in range(6)])
        alternating = torsions * np.array([1, -1] * 3)[:, None]
        chair = (np.abs(torsions) > LEAST_CHAIR_TORSION).all(axis=0)
        chair &= (alternating > 0).all(axis=0) | (alternating < 0).all(axis=0)
        name = f"ring of {_atom(rdmol, min(ring))}"
        yield f"{name} chair", chair
        yield f"{name} twist-boat", ~chair
        for place, atom in enumerate(ring):
            substituent = _single_substituent(rdmol, atom, ring)
            if substituent is None:
                continue
            ways = [[ring[(place + step * k) % 6] for k in (0, 1, 2)] for step in (1, -1)]
            cosine = np.mean([np.cos(_torsion(x, substituent, *way)) for way in ways], axis=0)
            label = f"{_atom(rdmol, substituent)} on {_atom(rdmol, atom)}"
            yield f"{label} axial", chair & (cosine > AXIAL)
            yield f"{label} equatorial", chair & (cosine <= AXIAL)


def _single_substituent(rdmol: Chem.Mol, atom: int, ring: tuple[int, ...]) -> int | None:
    """The substituent of a ring atom that has one beside a hydrogen."""
    outside = [n for n in rdmol.GetAtomWithIdx(atom).GetNeighbors() if n.GetIdx() not in ring]
    heavy = [n.GetIdx() for n in outside if n.GetAtomicNum() > 1]
    return heavy[0] if len(outside) == 2 and len(heavy) == 1 else None


def _hydrogen_bonds(molecule: Molecule, x: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Patterns of hydrogen bonds; none where the molecule cannot form any."""
    rdmol = molecule.rdmol
    distances = Chem.GetDistanceMatrix(rdmol)
    donors = [
        (bond.GetBeginAtomIdx(), bond.GetEndAtomIdx())
        if bond.GetEndAtom().GetAtomicNum() == 1
        else (bond.GetEndAtomIdx(), bond.GetBeginAtomIdx())
        for bond in rdmol.GetBonds()
        if {bond.GetBeginAtom().GetAtomicNum(), bond.GetEndAtom().GetAtomicNum()} in ({1, 7}, {1, 8})
    ]
    acceptors = [
        match[0]
        for match in rdmol.GetSubstructMatches(Chem.MolFromSmarts("[$([O;v2]),$([O-]),$([N;v3;!$(NC=O)])]"))
    ]
    codes: dict[str, np.ndarray] = {}
    for donor, hydrogen in donors:
        for acceptor in acceptors:
            if distances[donor, acceptor] < FEWEST_BONDS - 1 or donor == acceptor:
                continue
            to_acceptor = x[:, acceptor] - x[:, hydrogen]
            to_donor = x[:, donor] - x[:, hydrogen]
            length = np.linalg.norm(to_acceptor, axis=1)
            cosine = (to_acceptor * to_donor).sum(1) / length / np.linalg.norm(to_donor, axis=1)
            bonded = (length < BOND_LENGTH) & (cosine < math.cos(BOND_ANGLE))
            # Hydrogens of one donor are alike to who reads this.
            name = f"{_atom(rdmol, donor)}–H…{_atom(rdmol, acceptor)}"
            codes[name] = codes.get(name, np.zeros(len(x), dtype=bool)) | bonded
    codes = {name: mask for name, mask in codes.items() if mask.any()}
    if not codes:
        return
    names = list(codes)
    rows = np.stack([codes[name] for name in names], axis=1)
    patterns, counts = np.unique(rows, axis=0, return_counts=True)
    for index in np.argsort(-counts, kind="stable")[:MOST_PATTERNS]:
        bonds = [name for name, there in zip(names, patterns[index], strict=True) if there]
        yield " and ".join(bonds) or "no hydrogen bond", (rows == patterns[index]).all(axis=1)


def _torsion(x: np.ndarray, *atoms: int) -> np.ndarray:
    return dihedrals(*(x[:, atom].astype(np.float64) for atom in atoms))


def _atom(rdmol: Chem.Mol, atom: int) -> str:
    return f"{rdmol.GetAtomWithIdx(atom).GetSymbol()}{atom + 1}"
