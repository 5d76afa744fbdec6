"""Symmetry of the molecular graph: which atoms are alike, and the permutations that exchange them.

Two atoms are alike if an automorphism of the graph that keeps elements, isotopes, charges, bond orders and
stereo labels carries one into the other. The labels are those of RDKit's CIP labeler (Hanson et al. 2018),
which tells cis from trans in a 1,4-disubstituted ring. Charges and bond orders that only a drawing
distinguishes (the two oxygens of a carboxylate or nitro group, the nitrogens of an amidinium) are made equal
first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from rdkit import Chem
from rdkit.Chem import rdCIPLabeler

AROMATIC_ORDER = 1.5
MOST_SEARCH_STEPS = 20_000


@dataclass(frozen=True)
class MolecularGraph:
    """Labelled graph: ``atom_labels`` and ``bond_labels`` (by ascending pair) hold all that symmetry must
    keep."""

    atom_labels: tuple[tuple[Any, ...], ...]
    bond_labels: Mapping[tuple[int, int], tuple[Any, ...]]

    @classmethod
    def from_rdmol(cls, rdmol: Chem.Mol) -> MolecularGraph:
        """Graph of a molecule with explicit hydrogens and assigned stereo."""
        rdmol = Chem.Mol(rdmol)
        rdCIPLabeler.AssignCIPLabels(rdmol)
        charges = {atom.GetIdx(): atom.GetFormalCharge() for atom in rdmol.GetAtoms()}
        orders = {
            _pair(b.GetBeginAtomIdx(), b.GetEndAtomIdx()): (
                AROMATIC_ORDER if b.GetIsAromatic() else b.GetBondTypeAsDouble()
            )
            for b in rdmol.GetBonds()
        }
        stereo = {_pair(b.GetBeginAtomIdx(), b.GetEndAtomIdx()): _cip_label(b) for b in rdmol.GetBonds()}
        for centre, group in delocalised_groups(rdmol):
            for member in group:
                charges[member] = 0
                orders[_pair(centre, member)] = AROMATIC_ORDER
                stereo[_pair(centre, member)] = ""
        atoms = tuple(
            (
                atom.GetAtomicNum(),
                atom.GetIsotope(),
                charges[atom.GetIdx()],
                _cip_label(atom),
            )
            for atom in rdmol.GetAtoms()
        )
        return cls(atoms, {pair: (order, stereo[pair]) for pair, order in orders.items()})

    @property
    def n_atoms(self) -> int:
        return len(self.atom_labels)

    def marked(self, marks: Sequence[int]) -> MolecularGraph:
        """This graph with one more label for each atom: atoms of different ``marks`` are not alike."""
        labels = zip(self.atom_labels, marks, strict=True)
        return MolecularGraph(tuple((*label, mark) for label, mark in labels), self.bond_labels)

    @cached_property
    def neighbours(self) -> tuple[tuple[int, ...], ...]:
        """Bonded atoms of every atom, ascending."""
        found: list[list[int]] = [[] for _ in range(self.n_atoms)]
        for i, j in self.bond_labels:
            found[i].append(j)
            found[j].append(i)
        return tuple(tuple(sorted(group)) for group in found)

    @cached_property
    def classes(self) -> tuple[int, ...]:
        """Colour of each atom after refinement (Weisfeiler & Leman 1968): alike atoms share one."""
        colours = _compact(self.atom_labels)
        while True:
            refined = _compact(
                [
                    (
                        colours[i],
                        sorted((colours[j], self.bond_labels[_pair(i, j)]) for j in self.neighbours[i]),
                    )
                    for i in range(self.n_atoms)
                ]
            )
            if len(set(refined)) == len(set(colours)):
                return tuple(refined)
            colours = refined

    def component(self, start: int, without: Iterable[int]) -> frozenset[int]:
        """Atoms reached from ``start`` without passing through ``without``."""
        seen, stack = set(without) | {start}, [start]
        found = {start}
        while stack:
            for j in self.neighbours[stack.pop()]:
                if j not in seen:
                    seen.add(j)
                    found.add(j)
                    stack.append(j)
        return frozenset(found)

    def is_bridge(self, i: int, j: int) -> bool:
        """Whether the molecule falls apart without the bond i–j (it is in no ring)."""
        return not any(j in self.component(n, without=(i,)) for n in self.neighbours[i] if n != j)

    def automorphism(self, images: Mapping[int, int], order: int = 0) -> tuple[int, ...] | None:
        """An automorphism g with g(i) = images[i] and g applied ``order`` times the identity, or None.

        Order zero asks for no such thing.
        Atoms that ``images`` leaves free stay where they are if they can. The search stops, finding nothing,
        after ``MOST_SEARCH_STEPS`` trials.
        """
        search = _Search(self, order)
        for atom, image in images.items():
            if not search.fits(atom, image):
                return None
            search.assign(atom, image)
        if not all(search.closes(atom) for atom in images) or not search.complete():
            return None
        return tuple(search.images[i] for i in range(self.n_atoms))

    def automorphism_chain(self) -> list[list[tuple[int, ...]]]:
        """Lists of automorphisms: the products of one from each are all automorphisms, each exactly once.

        The k-th list carries the k-th atom that can still move to every place it can reach while those before
        it stay (a stabiliser chain, Sims 1970).
        """
        chain: list[list[tuple[int, ...]]] = []
        fixed: dict[int, int] = {}
        for atom, colour in enumerate(self.classes):
            alike = [j for j in range(self.n_atoms) if self.classes[j] == colour and j not in fixed]
            reached = [self.automorphism(fixed | {atom: j}) for j in alike]
            found = [g for g in reached if g is not None]
            if len(found) > 1:
                chain.append(found)
            fixed[atom] = atom
        return chain

    def rotor(self, parent: int, centre: int) -> tuple[int, ...] | None:
        """The permutation that turns ``centre``'s substituents, all alike, by one about the bond from
        ``parent``.

        Atoms on the parent's side stay. Its order is the number of substituents, taken in ascending order of
        their index; None where they are not alike or fewer than two.
        """
        turned = [n for n in self.neighbours[centre] if n != parent]
        return self.cycle(centre, turned, moved=self.component(centre, without=(parent,)))

    def cycle(
        self, centre: int, atoms: Sequence[int], moved: Iterable[int] | None = None
    ) -> tuple[int, ...] | None:
        """A permutation that carries each of ``centre``'s neighbours ``atoms`` to the next, cyclically.

        ``centre`` and every atom outside ``moved`` stay (default: outside the branches of ``atoms``).
        """
        if len(atoms) < 2 or len({self.classes[a] for a in atoms}) > 1:
            return None
        if moved is None:
            moved = frozenset().union(*(self.component(a, without=(centre,)) for a in atoms))
        free = set(moved) - {centre}
        images = {i: i for i in range(self.n_atoms) if i not in free}
        images |= {a: atoms[(k + 1) % len(atoms)] for k, a in enumerate(atoms)}
        return self.automorphism(images, len(atoms))


class _Search:
    """Backtracking over images of atoms next to those already assigned."""

    def __init__(self, graph: MolecularGraph, order: int) -> None:
        self.graph, self.order = graph, order
        self.images: dict[int, int] = {}
        self.sources: dict[int, int] = {}
        self.steps = 0

    def assign(self, atom: int, image: int) -> None:
        self.images[atom], self.sources[image] = image, atom

    def release(self, atom: int) -> None:
        del self.sources[self.images.pop(atom)]

    def fits(self, atom: int, image: int) -> bool:
        graph = self.graph
        if image in self.sources or graph.classes[atom] != graph.classes[image]:
            return False
        return all(
            graph.bond_labels[_pair(atom, n)] == graph.bond_labels.get(_pair(image, self.images[n]))
            for n in graph.neighbours[atom]
            if n in self.images
        )

    def closes(self, atom: int) -> bool:
        """Whether the cycle through ``atom``, as far as assigned, can still divide ``order``."""
        if self.order == 0:
            return True
        start = atom
        for _ in range(self.order - 1):
            start = self.sources.get(start, start)
        current = start
        for _ in range(self.order):
            if current not in self.images:
                return True
            current = self.images[current]
        return current == start

    def complete(self) -> bool:
        self.steps += 1
        if self.steps > MOST_SEARCH_STEPS:
            return False
        graph = self.graph
        atom = next((n for i in self.images for n in graph.neighbours[i] if n not in self.images), None)
        if atom is None:
            return len(self.images) == graph.n_atoms
        anchor = next(n for n in graph.neighbours[atom] if n in self.images)
        candidates = sorted(graph.neighbours[self.images[anchor]], key=lambda image: image != atom)
        for image in candidates:
            if self.fits(atom, image):
                self.assign(atom, image)
                if self.closes(atom) and self.complete():
                    return True
                self.release(atom)
        return False


def delocalised_groups(rdmol: Chem.Mol) -> list[tuple[int, list[int]]]:
    """(centre, members) of groups whose members differ in the drawing only."""
    groups = []
    for atom in rdmol.GetAtoms():
        terminal: dict[int, list[int]] = {}
        nitrogens, cationic = [], False
        for neighbour in atom.GetNeighbors():
            number, degree = neighbour.GetAtomicNum(), neighbour.GetDegree()
            if number in (8, 16) and degree == 1:
                terminal.setdefault(number, []).append(neighbour.GetIdx())
            if number == 7 and degree == 3:
                nitrogens.append(neighbour.GetIdx())
                double = (
                    rdmol.GetBondBetweenAtoms(atom.GetIdx(), neighbour.GetIdx()).GetBondTypeAsDouble() == 2
                )
                cationic |= double and neighbour.GetFormalCharge() == 1
        groups += [(atom.GetIdx(), members) for members in terminal.values() if len(members) > 1]
        if cationic and atom.GetAtomicNum() == 6 and len(nitrogens) > 1 and not atom.GetIsAromatic():
            groups.append((atom.GetIdx(), nitrogens))
    return groups


def _cip_label(element: Chem.Atom | Chem.Bond) -> str:
    return element.GetProp("_CIPCode") if element.HasProp("_CIPCode") else ""


def _pair(i: int, j: int) -> tuple[int, int]:
    return (i, j) if i < j else (j, i)


def _compact(labels: Sequence[Any]) -> list[int]:
    ranks = {label: rank for rank, label in enumerate(sorted({repr(label) for label in labels}))}
    return [ranks[repr(label)] for label in labels]
