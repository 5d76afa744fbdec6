"""The tree in which a molecule's atoms are placed: pure data, made from the graph and the linear angles.

Every atom has a local frame (e1, e2, e3) in which its children are placed. e3 points along the bond from
``axis`` to the atom; e1 is the direction to ``reference`` at right angles to it, so that an azimuth in this
frame is the proper torsion child–atom–axis–reference with its IUPAC sign. The children of one atom differ
from each other by gaps in azimuth. A child in line with the bond before it has no azimuth: it is placed by
the stereographic projection of its direction, and its own frame is its parent's, turned by the smallest
rotation.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from boltzgen.molecules.symmetry import MolecularGraph


@dataclass(frozen=True)
class ZMatrix:
    """Tree of placements. All tuples are in atom order unless named otherwise.

    ``order``: atoms by level, root first. ``levels``: how many atoms each level holds. ``parent``: the atom
    whose frame places this one (the root: itself). ``axis``, ``reference``: see above; for the root the
    second atom and the third. ``linear``: whether the atom is placed by a projected direction. ``closures``:
    bonds that the tree leaves out, one a ring.
    """

    order: tuple[int, ...]
    levels: tuple[int, ...]
    parent: tuple[int, ...]
    axis: tuple[int, ...]
    reference: tuple[int, ...]
    linear: tuple[bool, ...]
    closures: tuple[tuple[int, int], ...]

    @property
    def n_atoms(self) -> int:
        return len(self.order)

    @property
    def root(self) -> int:
        return self.order[0]

    @property
    def third(self) -> int | None:
        """The child of the root with azimuth zero by choice of frame; None with fewer than three atoms."""
        return self.order[2] if self.n_atoms > 2 else None

    def children(self, centre: int) -> tuple[int, ...]:
        """Atoms placed in the frame of ``centre`` by an angle and an azimuth, in the order of the tree."""
        return tuple(i for i in self.order[2:] if self.parent[i] == centre and not self.linear[i])

    def ancestors(self, atom: int) -> frozenset[int]:
        """``atom`` and the atoms above it."""
        found = {atom}
        while atom not in self.order[:2]:
            atom = self.parent[atom]
            found.add(atom)
        return frozenset(found)

    def part(self, atoms: Iterable[int]) -> tuple[ZMatrix, tuple[int, ...]]:
        """The tree of ``atoms`` and all they depend on, renumbered, and the old index of each of its
        atoms."""
        needed = frozenset(self.order[:3]).union(*(self.ancestors(a) for a in atoms))
        kept = tuple(sorted(needed))
        number = {atom: k for k, atom in enumerate(kept)}
        starts = [sum(self.levels[:k]) for k in range(len(self.levels))]
        levels = [
            sum(a in needed for a in self.order[s : s + n]) for s, n in zip(starts, self.levels, strict=True)
        ]
        tree = ZMatrix(
            order=tuple(number[a] for a in self.order if a in needed),
            levels=tuple(n for n in levels if n),
            parent=tuple(number[self.parent[a]] for a in kept),
            axis=tuple(number[self.axis[a]] for a in kept),
            reference=tuple(number[self.reference[a]] for a in kept),
            linear=tuple(self.linear[a] for a in kept),
            closures=(),
        )
        return tree, kept

    def config(self) -> dict[str, Any]:
        """Everything, as JSON can hold it."""
        return asdict(self)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> ZMatrix:
        """The tree that ``config`` wrote."""
        tuples = {key: tuple(value) for key, value in config.items()}
        tuples["closures"] = tuple((i, j) for i, j in config["closures"])
        return cls(**tuples)


def spanning_tree(
    graph: MolecularGraph,
    root: int,
    second: int,
    linear_angles: Iterable[tuple[int, int, int]] = (),
    ranks: dict[int, dict[int, int]] | None = None,
) -> ZMatrix:
    """Tree by breadth-first search from the bond ``root``–``second``, so that rings open opposite their
    entry.

    ``linear_angles`` (i, centre, j) are near 180°. ``ranks[centre][child]`` orders the children of a centre
    (default: ring members first, then heavy atoms). The third atom is the first bent child of the root.
    """
    straight = {(min(i, j), centre, max(i, j)) for i, centre, j in linear_angles}
    n = graph.n_atoms
    if n == 1:
        return ZMatrix((0,), (1,), (0,), (0,), (0,), (False,), ())
    parent, axis = [-1] * n, [-1] * n
    parent[root], axis[root], parent[second], axis[second] = root, second, root, root
    order, levels, frontier = [root, second], [1, 1], [root, second]
    while frontier:
        found: list[int] = []
        for centre in frontier:
            fresh = [i for i in graph.neighbours[centre] if parent[i] < 0]
            rank = (ranks or {}).get(centre, {})
            # The third atom has an angle and no azimuth, so it may be in line only where nothing is bent.
            in_line = {i: (min(i, axis[centre]), centre, max(i, axis[centre])) in straight for i in fresh}
            fresh.sort(key=lambda i: (in_line[i], rank.get(i, 0), _priority(graph, centre, axis[centre], i)))
            for i in fresh:
                parent[i], axis[i] = centre, centre
            found += fresh
        if len(order) == 2:
            found.sort(key=lambda i: parent[i] != root)
        order += found
        levels += [len(found)] if found else []
        frontier = found
    return ZMatrix(
        order=tuple(order),
        levels=tuple(levels),
        parent=tuple(parent),
        axis=tuple(axis),
        reference=tuple(_reference(i, root, second, axis, order) for i in range(n)),
        linear=tuple(
            i not in order[:3] and (min(i, axis[parent[i]]), parent[i], max(i, axis[parent[i]])) in straight
            for i in range(n)
        ),
        closures=tuple((i, j) for i, j in sorted(graph.bond_labels) if parent[i] != j and parent[j] != i),
    )


def _reference(atom: int, root: int, second: int, axis: list[int], order: list[int]) -> int:
    if atom in (root, second):
        return order[2] if len(order) > 2 else atom
    return axis[axis[atom]]


def _priority(graph: MolecularGraph, centre: int, axis: int, child: int) -> tuple[Any, ...]:
    in_ring_with_axis = child in graph.neighbours[axis] or not graph.is_bridge(centre, child)
    return (not in_ring_with_axis, -graph.atom_labels[child][0], child)
