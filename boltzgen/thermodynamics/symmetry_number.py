"""Symmetry number: how many labelled copies of each configuration a molecule reaches by itself.

Z counts configurations of labelled atoms, all those that keep the handedness of every centre and the sides of
every double bond, prochiral ones included. An automorphism of the molecular graph that keeps these carries
such a configuration to another one that nature cannot tell from it. For a rigid molecule the number is that
of its rotation group; rotors bring a factor each (18 for ethane, propane and butane), and so does an
inversion that is sampled (6 for ammonia, whose two forms are both in Z).
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float
from rdkit import Chem

from boltzgen.errors import InputError
from boltzgen.molecules.molecule import Molecule
from boltzgen.molecules.stereo import delocalised_bonds, handed_volume
from boltzgen.molecules.symmetry import MolecularGraph

MOST_PATTERNS = 200_000

Element = tuple[int, ...]  # a centre and its four neighbours, or a double bond as a–b=c–d


def symmetry_number(molecule: Molecule) -> int:
    """The number of automorphisms that keep every handedness and every side.

    Raises InputError where there are too many labellings to go through.
    """
    graph = MolecularGraph.from_rdmol(molecule.rdmol)
    chain = graph.automorphism_chain()
    x = np.asarray(molecule.first_conformer, dtype=np.float64)
    elements = _centres(graph) + _double_bonds(molecule.rdmol, graph)
    signs = {element: _sign(element, x) for element in elements}
    actions = [
        [_image(element, permutation, signs) for element in elements]
        for level in chain
        for permutation in level
    ]
    start = tuple(signs[element] for element in elements)
    index = {element: k for k, element in enumerate(elements)}
    steps = [([index[image] for image, _ in action], [flip for _, flip in action]) for action in actions]
    seen, waiting = {start}, [start]
    while waiting:
        pattern = waiting.pop()
        for places, flips in steps:
            other = tuple(pattern[place] * flip for place, flip in zip(places, flips, strict=True))
            if other not in seen:
                seen.add(other)
                waiting.append(other)
        if len(seen) > MOST_PATTERNS:
            raise InputError(
                f"'{molecule.smiles}' has too many equivalent labellings for a symmetry number: more than"
                f" {MOST_PATTERNS} orders of prochiral atoms."
            )
    return math.prod(len(level) for level in chain) // len(seen)


def _centres(graph: MolecularGraph) -> list[Element]:
    return [(atom, *near) for atom, near in enumerate(graph.neighbours) if len(near) == 4]


def _double_bonds(rdmol: Chem.Mol, graph: MolecularGraph) -> list[Element]:
    """a–b=c–d of the double bonds that do not turn, a and d the first substituents."""
    turning = {bond.GetIdx() for bond in delocalised_bonds(rdmol)}
    elements: list[Element] = []
    for bond in rdmol.GetBonds():
        if bond.GetBondType() != Chem.BondType.DOUBLE or bond.GetIdx() in turning:
            continue
        b, c = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        ends = [[n for n in graph.neighbours[i] if n != j] for i, j in ((b, c), (c, b))]
        planar = all(rdmol.GetAtomWithIdx(i).GetHybridization() == Chem.HybridizationType.SP2 for i in (b, c))
        if planar and all(ends) and all(len(graph.neighbours[i]) <= 3 for i in (b, c)):
            elements.append((min(ends[0]), b, c, min(ends[1])))
    return elements


def _sign(element: Element, x: Float[np.ndarray, "atoms 3"]) -> int:
    """The handedness of a centre, or +1 where a and d of a double bond are on one side, else −1."""
    if len(element) == 5:
        return 1 if handed_volume(x[[element[0]]], x[list(element[1:])]) > 0 else -1
    a, b, c, d = x[list(element)]
    return 1 if np.cross(a - b, c - b) @ np.cross(d - c, c - b) > 0 else -1


def _image(
    element: Element, permutation: tuple[int, ...], elements: dict[Element, int]
) -> tuple[Element, int]:
    """The element that ``permutation`` carries ``element`` to, and whether it is seen the other way round."""
    carried = tuple(permutation[atom] for atom in element)
    if len(element) == 5:
        image = next(other for other in elements if len(other) == 5 and other[0] == carried[0])
        return image, _parity([image[1:].index(atom) for atom in carried[1:]])
    a, b, c, d = carried
    for other in elements:
        if len(other) == 4 and {other[1], other[2]} == {b, c}:
            if other[1] != b:
                a, d = d, a
            return other, (1 if a == other[0] else -1) * (1 if d == other[3] else -1)
    raise AssertionError("an automorphism carries double bonds to double bonds")


def _parity(places: list[int]) -> int:
    inversions = sum(places[i] > places[j] for i in range(len(places)) for j in range(i + 1, len(places)))
    return -1 if inversions % 2 else 1
