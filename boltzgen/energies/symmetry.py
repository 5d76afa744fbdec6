"""Which exchanges of equivalent atoms leave an energy unchanged, as a graph that has no others.

A molecular graph says which atoms are alike; an energy may distinguish them all the same. AMBER's improper
torsions, for one, take two like neighbours of an atom in the order of their indices, so that the two faces of
a phenyl ring, the oxygens of a carboxylate and the hydrogens of an amide NH₂ differ by some tenths of kT.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from boltzgen.energies.target import BoltzmannTarget

if TYPE_CHECKING:  # a saved problem is read without RDKit
    from boltzgen.molecules.molecule import Molecule
    from boltzgen.molecules.symmetry import MolecularGraph

TOLERANCE = 1e-3  # kT, in float64
MOST_NAMED = 4  # classes of atoms in a warning


@dataclass(frozen=True)
class EnergySymmetry:
    """The symmetry that a molecular graph and an energy have in common.

    Attributes
    ----------
    marks
        An integer for each atom. Every automorphism of the graph ``marked`` with these leaves the energy
        unchanged.
    distinguished
        Atoms that are alike in the graph and not with the marks, one group for each class of the graph.
    change
        The largest change of energy, in kT, among the exchanges that the marks rule out; 0 without any.
    """

    marks: tuple[int, ...]
    distinguished: tuple[tuple[int, ...], ...] = ()
    change: float = 0.0

    def warnings(self, molecule: Molecule) -> list[str]:
        """A sentence where the energy distinguishes equivalent atoms, none elsewhere."""
        groups = [" ".join(_name(molecule, atom) for atom in atoms) for atoms in self.distinguished]
        if not groups:
            return []
        more = f", and {len(groups) - MOST_NAMED} more" if len(groups) > MOST_NAMED else ""
        return [
            f"the force field distinguishes equivalent atoms (exchanging them changes the energy by up to"
            f" {self.change:.2g} kT): {', '.join(groups[:MOST_NAMED])}{more}; their labels are sampled"
            " instead of folded"
        ]


@torch.no_grad()
def energy_symmetry(
    graph: MolecularGraph, target: BoltzmannTarget, x: Float[Tensor, "frames atoms 3"]
) -> EnergySymmetry:
    """The symmetry of ``graph`` that the energy of ``target`` keeps on frames ``x`` (nm) of its dynamics.

    Measured in float64 for a set of automorphisms whose products are the whole group (a stabiliser chain).
    Where one changes the energy, the image of an atom that it moves is told apart, and the set is found anew.
    Exchanges that move the fewest atoms are ruled out first, so that those of whole branches, which may carry
    them along, are kept where they can be; of one orbit only the atoms unlike its first in each turn.
    """
    x = x.double()
    energies = target.reduced_energy(x)
    x, energies = x[energies.isfinite()], energies[energies.isfinite()]
    marks = [0] * graph.n_atoms
    largest = 0.0
    known: dict[tuple[int, ...], float] = {}
    while True:
        marked = graph.marked(marks)
        levels = _levels(marked)
        for permutation in {permutation for _, level in levels for permutation in level}:
            if permutation not in known:
                known[permutation] = float((target.reduced_energy(x[:, permutation]) - energies).abs().max())
        wrong = [
            (atom, {g[atom] for g in level}, [g for g in level if not known[g] <= TOLERANCE])
            for atom, level in levels
        ]
        changed = [g for _, _, permutations in wrong for g in permutations]
        if not changed:
            return EnergySymmetry(tuple(marks), _distinguished(graph, marked), largest)
        largest = max(largest, *(known[g] for g in changed))
        fewest = min(_moved(g) for g in changed)
        images: set[int] = set()
        judged: set[int] = set()
        for atom, orbit, permutations in wrong:
            found = {g[atom] for g in permutations if _moved(g) == fewest}
            if found and atom not in judged:
                images |= found
                judged |= orbit
        marks = [2 * mark + (atom in images) for atom, mark in enumerate(marks)]


def _distinguished(graph: MolecularGraph, marked: MolecularGraph) -> tuple[tuple[int, ...], ...]:
    """The classes of atoms of ``graph`` of which ``marked`` makes several."""
    classes: dict[int, list[int]] = {}
    for atom, colour in enumerate(graph.classes):
        classes.setdefault(colour, []).append(atom)
    return tuple(
        tuple(atoms) for atoms in classes.values() if len({marked.classes[atom] for atom in atoms}) > 1
    )


def _name(molecule: Molecule, atom: int) -> str:
    """As PHE2:CD1 in a peptide, else as C5 (numbers count from 1)."""
    entry = molecule.rdmol.GetAtomWithIdx(atom)
    info = entry.GetPDBResidueInfo()
    if info is None:
        return f"{entry.GetSymbol()}{atom + 1}"
    return f"{info.GetResidueName().strip()}{info.GetResidueNumber()}:{info.GetName().strip()}"


def _moved(permutation: tuple[int, ...]) -> int:
    return sum(i != image for i, image in enumerate(permutation))


def _levels(graph: MolecularGraph) -> list[tuple[int, list[tuple[int, ...]]]]:
    """The stabiliser chain of ``graph`` with the atom that each level moves."""
    return [
        (next(i for i in range(graph.n_atoms) if any(g[i] != i for g in level)), level)
        for level in graph.automorphism_chain()
    ]
