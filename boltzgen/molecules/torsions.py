"""The torsions that tell a molecule's conformers apart, and their values in given positions.

Conformers differ by rotation about single bonds, by ring pucker and by the inversion of ring nitrogens.
Rotors whose three substituents are alike (CH₃, CF₃, t-Bu) look the same in every state and are left out;
double bonds keep their stereo. Each end of a torsion points at what the labels of equivalent atoms do not
change: a substituent unlike the others, the one with the largest branch if there are several; else the mean
of two alike (NH₂), or, in a plane, either of them with half the period (phenyl).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from rdkit import Chem

from boltzgen.molecules.dihedrals import dihedrals
from boltzgen.molecules.molecule import Molecule
from boltzgen.molecules.symmetry import MolecularGraph


@dataclass(frozen=True)
class Torsion:
    """Torsion about ``axis``, from the mean position of the atoms ``start`` to that of the atoms ``end``.

    period: radians, π where the ends of the axis are alike on both sides. kind: rotatable, ring or inversion.
    """

    start: tuple[int, ...]
    axis: tuple[int, int]
    end: tuple[int, ...]
    name: str
    kind: str
    period: float = 2 * math.pi


def conformer_torsions(molecule: Molecule) -> list[Torsion]:
    """The torsions that tell conformers apart: rotatable bonds, then rings, then ring nitrogens."""
    return _rotatable(molecule) + _ring(molecule) + _inversions(molecule)


def turning_bonds(
    molecule: Molecule,
) -> tuple[Int[np.ndarray, "bonds 2"], Bool[np.ndarray, "bonds atoms"]]:
    """Bonds about which conformers differ by a turn, and the atoms beyond each: the smaller side."""
    graph = MolecularGraph.from_rdmol(molecule.rdmol)
    axes, beyond = [], []
    for torsion in _rotatable(molecule):
        j, k = torsion.axis
        sides = [(graph.component(k, without=(j,)), (j, k)), (graph.component(j, without=(k,)), (k, j))]
        atoms, axis = min(sides, key=lambda side: len(side[0]))
        axes.append(axis)
        beyond.append([index in atoms for index in range(molecule.n_atoms)])
    return np.array(axes, dtype=int).reshape(-1, 2), np.array(beyond, dtype=bool).reshape(
        -1, molecule.n_atoms
    )


def ramachandran_torsions(molecule: Molecule) -> list[tuple[Torsion, Torsion]]:
    """(φ, ψ) of every residue between two amides, in the order of their nitrogens; empty if no peptide."""
    backbone = Chem.MolFromSmarts("[CX3](=O)-[NX3]-[CX4]-[CX3](=O)-[NX3]")
    matches = molecule.rdmol.GetSubstructMatches(backbone, maxMatches=1000)
    return [
        (
            _torsion(molecule.rdmol, (before,), (n, alpha), (c,), "rotatable"),
            _torsion(molecule.rdmol, (n,), (alpha, c), (after,), "rotatable"),
        )
        for before, _, n, alpha, c, _, after in sorted(matches, key=lambda match: match[2])
    ]


def torsion_values(
    positions: Float[np.ndarray, "batch atoms 3"], torsions: list[Torsion]
) -> Float[np.ndarray, "batch torsions"]:
    """Values in radians, in (−period/2, period/2], IUPAC sign: clockwise seen along the axis is positive."""
    values = np.empty((len(positions), len(torsions)))
    for column, torsion in enumerate(torsions):
        points = [
            positions[:, list(atoms)].mean(axis=1, dtype=np.float64)
            for atoms in (torsion.start, torsion.axis[:1], torsion.axis[1:], torsion.end)
        ]
        values[:, column] = wrapped(dihedrals(*points), torsion.period)
    return values


def wrapped(angles: np.ndarray, period: float | np.ndarray = 2 * math.pi) -> np.ndarray:
    """Angles in radians moved by whole periods into (−period/2, period/2]."""
    return period / 2 - np.mod(period / 2 - angles, period)


def _rotatable(molecule: Molecule) -> list[Torsion]:
    rdmol = molecule.rdmol
    graph = MolecularGraph.from_rdmol(rdmol)
    torsions = []
    for j, k in molecule.bonds:
        bond = rdmol.GetBondBetweenAtoms(j, k)
        if bond.IsInRing() or bond.GetBondType() != Chem.BondType.SINGLE:
            continue
        start, end = _reference(rdmol, graph, j, k), _reference(rdmol, graph, k, j)
        if start is None or end is None:
            continue
        period = math.pi if start[1] or end[1] else 2 * math.pi
        torsions.append(_torsion(rdmol, start[0], (j, k), end[0], "rotatable", period))
    return torsions


def _reference(
    rdmol: Chem.Mol, graph: MolecularGraph, centre: int, other: int
) -> tuple[tuple[int, ...], bool] | None:
    """Atoms that a torsion about centre–other starts at, and whether half a turn exchanges two alike.

    None where there are no substituents, none off the axis, or all three or more are alike.
    """
    substituents = [n for n in graph.neighbours[centre] if n != other]
    hybridization = rdmol.GetAtomWithIdx(centre).GetHybridization()
    if not substituents or hybridization == Chem.HybridizationType.SP:
        return None
    alike: dict[int, list[int]] = {}
    for atom in substituents:
        alike.setdefault(graph.classes[atom], []).append(atom)
    single = [atoms[0] for atoms in alike.values() if len(atoms) == 1]
    if single:
        return (max(single, key=lambda a: _precedence(rdmol, graph, centre, a)),), False
    pairs = [atoms for atoms in alike.values() if len(atoms) == 2]
    if not pairs:
        return None
    if hybridization == Chem.HybridizationType.SP2:
        return (pairs[0][0],), True
    return tuple(pairs[0]), False


def _precedence(rdmol: Chem.Mol, graph: MolecularGraph, centre: int, atom: int) -> tuple[int, int, int]:
    """The main chain first: the larger branch, then the heavier atom, then the lower index."""
    branch = graph.component(atom, without=(centre,))
    return len(branch), rdmol.GetAtomWithIdx(atom).GetAtomicNum(), -atom


def _ring(molecule: Molecule) -> list[Torsion]:
    rdmol = molecule.rdmol
    torsions: dict[tuple[int, ...], Torsion] = {}
    for ring in rdmol.GetRingInfo().AtomRings():
        if len(ring) < 4:
            continue
        for position in range(len(ring)):
            i, j, k, l = (ring[(position + offset) % len(ring)] for offset in range(4))
            bond = rdmol.GetBondBetweenAtoms(j, k)
            if bond.GetBondType() == Chem.BondType.SINGLE and not bond.GetIsAromatic():
                i, j, k, l = (i, j, k, l) if j < k else (l, k, j, i)
                torsions.setdefault((i, j, k, l), _torsion(rdmol, (i,), (j, k), (l,), "ring"))
    return list(torsions.values())


def _inversions(molecule: Molecule) -> list[Torsion]:
    """Where the substituent of a pyramidal ring nitrogen points, seen from the ring."""
    rdmol = molecule.rdmol
    rings = rdmol.GetRingInfo()
    torsions = []
    for atom in rdmol.GetAtoms():
        centre = atom.GetIdx()
        pyramidal = atom.GetHybridization() == Chem.HybridizationType.SP3 and atom.GetDegree() == 3
        if atom.GetAtomicNum() != 7 or not pyramidal or rings.NumAtomRings(centre) != 1:
            continue
        ring = next(ring for ring in rings.AtomRings() if centre in ring)
        place = ring.index(centre)
        outside = next(n.GetIdx() for n in atom.GetNeighbors() if n.GetIdx() not in ring)
        following, after = ring[(place + 1) % len(ring)], ring[(place + 2) % len(ring)]
        torsions.append(_torsion(rdmol, (outside,), (centre, following), (after,), "inversion"))
    return torsions


def _torsion(
    rdmol: Chem.Mol,
    start: tuple[int, ...],
    axis: tuple[int, int],
    end: tuple[int, ...],
    kind: str,
    period: float = 2 * math.pi,
) -> Torsion:
    groups = (start, axis[:1], axis[1:], end)
    name = "–".join(
        "+".join(f"{rdmol.GetAtomWithIdx(a).GetSymbol()}{a + 1}" for a in atoms) for atoms in groups
    )
    return Torsion(start, axis, end, name, kind, period)
