"""Where the tree starts and how its atoms group: decided from the graph and the straight angles of frames."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from rdkit import Chem
from torch import Tensor

from boltzgen.coordinates.groups import TURN, GapKind, Group
from boltzgen.coordinates.placement import Placement
from boltzgen.coordinates.zmatrix import ZMatrix, spanning_tree
from boltzgen.molecules.symmetry import AROMATIC_ORDER, MolecularGraph

GAP_KINDS: dict[int, GapKind] = {1: "none", 2: "pair", 3: "convex"}
STRAIGHT = math.radians(155.0)
AMIDE = Chem.MolFromSmarts("[CX3,SX4](=[O,S])-[#7]")
ESTER = Chem.MolFromSmarts("[CX3](=[O,S])-[O,S;!H0,$(*-[#6])]")


def choose_tree(graph: MolecularGraph, frames: Tensor) -> ZMatrix:
    """The tree that folds most rotors, closes rings apart from stereocentres and, then, is the shallowest.

    A rotor folds where the tree reaches it through the bond it turns about. ``frames`` [n, atoms, 3].
    """
    if graph.n_atoms == 1:
        return spanning_tree(graph, 0, 0)
    if graph.n_atoms == 2:
        return spanning_tree(graph, 0, 1)
    straight = straight_angles(graph, frames)
    folds = {
        (parent, centre): len(graph.neighbours[centre]) - 1
        for pair in graph.bond_labels
        for parent, centre in (pair, pair[::-1])
        if len(graph.neighbours[parent]) > 1
        and len(graph.neighbours[centre]) > 2
        and graph.is_bridge(parent, centre)
        and graph.rotor(parent, centre)
    }
    best: tuple[tuple[Any, ...], ZMatrix] | None = None
    for root, second in _starts(graph, straight):
        tree = spanning_tree(graph, root, second, straight, _root_ranks(graph, root, second))
        gain = sum(math.log(n) for (parent, centre), n in folds.items() if tree.parent[centre] == parent)
        heavy = graph.atom_labels[second][0] > 1
        score = (round(gain, 6), -_stereo_at_closures(graph, tree), -len(tree.levels), heavy)
        if best is None or score > best[0]:
            best = (score, tree)
    assert best is not None
    return best[1]


def _stereo_at_closures(graph: MolecularGraph, tree: ZMatrix) -> int:
    """Stereocentres at the bonds that ``tree`` leaves out, or next to them: their angles are the widest."""
    near = [atom for pair in tree.closures for end in pair for atom in (end, tree.parent[end])]
    return sum(bool(graph.atom_labels[atom][3]) for atom in near)


def straight_angles(graph: MolecularGraph, frames: Tensor) -> set[tuple[int, int, int]]:
    """(i, centre, j), i < j, whose mean angle is near 180°: at sp atoms, and trans at five and more bonds."""
    found = set()
    for centre, around in enumerate(graph.neighbours):
        if len(around) == 2 or len(around) > 4:
            for a, i in enumerate(around):
                for j in around[a + 1 :]:
                    u = torch.nn.functional.normalize(frames[:, i] - frames[:, centre], dim=-1)
                    v = torch.nn.functional.normalize(frames[:, j] - frames[:, centre], dim=-1)
                    if torch.arccos((u * v).sum(-1).clamp(-1, 1)).mean() > STRAIGHT:
                        found.add((i, centre, j))
    return found


def _starts(graph: MolecularGraph, straight: set[tuple[int, int, int]]) -> Iterator[tuple[int, int]]:
    """(root, second) with a bent third atom, or all with any third where the whole molecule is straight."""
    pairs = [
        (r, s) for r in range(graph.n_atoms) for s in graph.neighbours[r] if len(graph.neighbours[r]) > 1
    ]
    bent = [
        (root, second)
        for root, second in pairs
        if any(
            other != second and (min(other, second), root, max(other, second)) not in straight
            for other in graph.neighbours[root]
        )
    ]
    yield from bent or pairs


def _root_ranks(graph: MolecularGraph, root: int, second: int) -> dict[int, dict[int, int]]:
    """Puts a child of the root first that has no equivalent, so that exchanges leave the third atom alone."""
    others = [n for n in graph.neighbours[root] if n != second]
    classes = [graph.classes[n] for n in others]
    return {root: {n: classes.count(graph.classes[n]) for n in others}}


def child_groups(
    graph: MolecularGraph,
    zmatrix: ZMatrix,
    rdmol: Chem.Mol,
    frame: Tensor,
    flexible: list[tuple[int, ...]],
) -> list[Group]:
    """The groups of bent children, each in ascending azimuth in ``frame`` [atoms, 3], with default ranges.

    The last atoms of ``flexible`` rings come first in their groups and are placed by closure.
    """
    placement = Placement(zmatrix)
    tree = frame.double().T[:, zmatrix.order, None]
    across = _ring_ends(graph, zmatrix, flexible)
    groups = []
    for centre in zmatrix.order:
        children = zmatrix.children(centre)
        if not children:
            continue
        indices = placement.back[torch.tensor(children)]
        azimuths = placement.azimuths(tree, int(placement.back[centre]), indices)[:, 0]
        anchor = next((k for k, child in enumerate(children) if (centre, child) in across), 0)
        turned = torch.remainder(azimuths - azimuths[anchor], TURN).tolist()
        turned[anchor] = 0.0
        ascending = tuple(c for _, c in sorted(zip(turned, children, strict=True)))
        kind = None if centre == zmatrix.root else bond_kind(graph, rdmol, zmatrix.axis[centre], centre)
        groups.append(
            Group(
                centre,
                ascending,
                torsion=kind,
                soft=kind not in (None, "ring", "double"),
                closure=across.get((centre, ascending[0])),
                gaps=GAP_KINDS.get(len(children), "simplex"),
            )
        )
    return groups


def _ring_ends(
    graph: MolecularGraph, zmatrix: ZMatrix, flexible: list[tuple[int, ...]]
) -> dict[tuple[int, int], int]:
    """(parent, last atom): the atom across, for the bonds that the tree leaves out of ``flexible`` rings."""
    rank = {atom: k for k, atom in enumerate(zmatrix.order)}
    found: dict[tuple[int, int], int] = {}
    # An atom that an aromatic ring holds in place is the worse one to be placed by another ring's closure.
    aromatic = [pair for pair, (order, _) in graph.bond_labels.items() if order == AROMATIC_ORDER]
    held = {atom for pair in aromatic for atom in pair}
    for pair in sorted(zmatrix.closures, key=lambda pair: held.isdisjoint(pair)):
        first = max(pair, key=lambda atom: (atom not in held, rank[atom]))
        second = pair[0] if first == pair[1] else pair[1]
        for last, across in ((first, second), (second, first)):
            parent = zmatrix.parent[last]
            triangle = parent in (zmatrix.parent[across], zmatrix.axis[across])
            taken = any(centre == parent for centre, _ in found) or parent == zmatrix.root
            below = last in zmatrix.ancestors(across)
            if not (taken or triangle or below) and any({across, last, parent} <= set(r) for r in flexible):
                found[parent, last] = across
                break
    return found


def bond_kind(graph: MolecularGraph, rdmol: Chem.Mol, axis: int, centre: int) -> str:
    """What turning about the bond means: "ring", "double", "amide", "ester" or plain "torsion"."""
    if not graph.is_bridge(axis, centre):
        return "ring"
    order, _ = graph.bond_labels[(min(axis, centre), max(axis, centre))]
    flat = all(len(graph.neighbours[atom]) < 4 for atom in (axis, centre))
    if order == 2 and flat:
        return "double"
    for name, pattern in (("amide", AMIDE), ("ester", ESTER)):
        matches = rdmol.GetSubstructMatches(pattern)
        if any({axis, centre} == {match[0], match[2]} for match in matches):
            return name
    return "torsion"
