"""Label rules of a molecule, found from its graph: which exchanges put its labels in order."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from boltzgen.coordinates.groups import Group
from boltzgen.coordinates.labels import LabelRule, LabelRules
from boltzgen.coordinates.placement import Placement
from boltzgen.coordinates.pyramids import is_pyramidal, pyramid_volume
from boltzgen.coordinates.zmatrix import ZMatrix
from boltzgen.molecules.symmetry import MolecularGraph

INVERTING = (7,)  # three-coordinate nitrogen
STABLE_PYRAMIDS = (14, 15, 16, 32, 33, 34, 51, 52)  # three-coordinate centres that keep their handedness
MOST_SKELETAL = 256


def ordered_neighbours(
    graph: MolecularGraph, zmatrix: ZMatrix, placement: Placement, frame: Tensor, centre: int
) -> tuple[int, ...]:
    """Neighbours of ``centre`` but its axis, in ascending azimuth in ``frame`` [3, atoms, 1] (tree order).

    Two neighbours come in the order in which the gap from the first to the second is below π.
    """
    others = [n for n in graph.neighbours[centre] if n != zmatrix.axis[centre]]
    indices = placement.back[torch.tensor(others)]
    azimuths = placement.azimuths(frame, int(placement.back[centre]), indices)[:, 0].tolist()
    ascending = tuple(n for _, n in sorted(zip(azimuths, others, strict=True)))
    if len(others) == 2 and abs(azimuths[0] - azimuths[1]) > torch.pi:
        return ascending[::-1]
    return ascending


def handed_centres(graph: MolecularGraph, zmatrix: ZMatrix, frames: Tensor) -> dict[int, tuple[int, ...]]:
    """Atoms that keep their handedness and their neighbours in the order of the first frame.

    Four-coordinate atoms, and three-coordinate ones of heavier elements that are pyramidal.
    """
    placement = Placement(zmatrix)
    first = frames[0].T[:, zmatrix.order, None]
    found = {}
    for centre, around in enumerate(graph.neighbours):
        stable = len(around) == 3 and graph.atom_labels[centre][0] in STABLE_PYRAMIDS
        if len(around) == 4 or (stable and _keeps_its_side(graph, centre, frames)):
            found[centre] = ordered_neighbours(graph, zmatrix, placement, first, centre)
    return found


def _keeps_its_side(graph: MolecularGraph, centre: int, frames: Tensor) -> bool:
    """Whether a three-coordinate atom is out of its neighbours' plane in all but 2 % of ``frames``."""
    return is_pyramidal(pyramid_volume(graph, centre, frames), 0.98)


def order_rules(
    graph: MolecularGraph, handed: dict[int, tuple[int, ...]]
) -> tuple[list[LabelRule], dict[int, tuple[int, ...]]]:
    """Rules for centres with two equivalent branches, and the centres that no exchange of branches
    inverts."""
    rules, fixed = [], {}
    for centre, others in handed.items():
        permutation = _branch_exchange(graph, centre, others)
        if permutation is None:
            fixed[centre] = others
        else:
            rules.append(LabelRule("order", centre, others, permutation))
    return rules, fixed


def _branch_exchange(graph: MolecularGraph, centre: int, others: Sequence[int]) -> tuple[int, ...] | None:
    """A permutation that exchanges two branches of ``centre`` in no ring with each other or with a third."""
    around = [*reversed(others), *(n for n in graph.neighbours[centre] if n not in others)]
    for k, a in enumerate(around):
        for b in around[k + 1 :]:
            separate = all(graph.is_bridge(centre, n) for n in (a, b))
            if separate and (permutation := graph.cycle(centre, (a, b))):
                return permutation
    return None


def skeletal_permutations(
    graph: MolecularGraph, fixed: dict[int, tuple[int, ...]]
) -> tuple[tuple[int, ...], ...]:
    """The identity and the products of exchanges of equivalent ring neighbours of the ``fixed`` centres."""
    identity = tuple(range(graph.n_atoms))
    generators = set()
    for centre in fixed:
        around = graph.neighbours[centre]
        for k, a in enumerate(around):
            for b in around[k + 1 :]:
                permutation = graph.cycle(centre, (a, b)) or graph.cycle(centre, (a, b), moved=identity)
                if permutation is not None:
                    generators.add(permutation)
    found, frontier = [identity], [identity]
    seen = {identity}
    while frontier and len(found) < MOST_SKELETAL:
        fresh = []
        for before in frontier:
            for generator in sorted(generators):
                product = tuple(before[i] for i in generator)
                if product not in seen:
                    seen.add(product)
                    fresh.append(product)
        found += fresh
        frontier = fresh
    return tuple(found[:MOST_SKELETAL])


def fold_rules(
    graph: MolecularGraph,
    zmatrix: ZMatrix,
    groups: list[Group],
    frames: Tensor,
    fixed: dict[int, tuple[int, ...]],
) -> tuple[list[Group], list[LabelRule]]:
    """Groups with their folds, and the rules that fold them. ``low`` of a rotor is set from frames later.

    A rotor is folded where passing its labels on leaves the ``fixed`` centres in their order: turning
    N-ethyl-4-piperidinol's ring over does not exchange its two halves, as C4 would be inverted.
    """
    handed = LabelRules((), tuple((centre, *others) for centre, others in fixed.items()), ())
    placement = Placement(zmatrix)
    result, rules = [], []
    for group in groups:
        changed, rule = _fold(graph, zmatrix, group, frames)
        if rule and not handed.in_order(frames[:1, rule.permutation], placement):
            changed, rule = group, None
        result.append(changed)
        rules += [rule] if rule else []
    return result, rules


def _fold(
    graph: MolecularGraph, zmatrix: ZMatrix, group: Group, frames: Tensor
) -> tuple[Group, LabelRule | None]:
    centre, children = group.centre, group.children
    axis = zmatrix.axis[centre]
    degree = len(graph.neighbours[centre])
    turns = graph.is_bridge(axis, centre) and len(graph.neighbours[axis]) > 1 and group.torsion is not None
    if len(children) == 2 and degree == 3 and graph.atom_labels[centre][0] in INVERTING:
        exchange = graph.cycle(centre, children) if _are_branches(graph, centre, children) else None
        if exchange and _keeps_its_side(graph, centre, frames):
            rule = LabelRule("gap", centre, children, exchange, low=0.0, width=torch.pi, images=2)
            return group.changed(gap_low=0.0, gap_width=torch.pi), rule
    if not turns or len(children) not in (2, 3) or degree != len(children) + 1:
        return group, None
    if (
        degree == 3
        and graph.atom_labels[centre][0] in STABLE_PYRAMIDS
        and _keeps_its_side(graph, centre, frames)
    ):
        return group, None
    permutation = graph.cycle(centre, children, moved=graph.component(centre, without=(axis,)))
    if permutation is None:
        return group, None
    n = len(children)
    # Rotors about double bonds (=CH2) cannot turn: their labels are put in order, no image is reached.
    rule = LabelRule("rotor", centre, children, permutation, images=n if group.soft else 1)
    kind = "rotor" if group.soft else group.torsion
    return group.changed(torsion=kind, fold=n, mean_anchor=True, width=2.0 * torch.pi / n), rule


def _are_branches(graph: MolecularGraph, centre: int, children: Sequence[int]) -> bool:
    return all(graph.is_bridge(centre, child) for child in children)
