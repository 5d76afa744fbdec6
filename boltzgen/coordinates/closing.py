"""Distances across the bonds that the tree leaves out: bonds and angles of rings that no coordinate holds.

A covariance estimated from few frames is shrunk (whitening.py), which loosens the concert of a ring's
coordinates that keeps it closed. To first order these distances are linear in the coordinates, with slopes
that geometry gives exactly; ``held`` (whitening.py) gives them back the spread that they have in the frames.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from boltzgen.coordinates.closures import partner
from boltzgen.coordinates.groups import Group
from boltzgen.coordinates.unbounded import UnboundedCoordinates
from boltzgen.coordinates.zmatrix import ZMatrix
from boltzgen.molecules.symmetry import MolecularGraph


class ClosingDistances:
    """Distances (nm) between ``pairs`` of atoms, and their slopes in the raw stiff coordinates."""

    def __init__(self, pairs: Collection[tuple[int, int]]) -> None:
        self.first, self.second = torch.tensor(sorted(pairs), dtype=torch.long).reshape(-1, 2).T

    def __len__(self) -> int:
        return len(self.first)

    def of(self, x: Float[Tensor, "n atoms 3"]) -> Float[Tensor, "k n"]:
        """The distances at x."""
        return (x[:, self.first] - x[:, self.second]).norm(dim=-1).T

    def slopes(
        self, unbounded: UnboundedCoordinates, raw: Float[Tensor, "stiff n"]
    ) -> Float[Tensor, "n k stiff"]:
        """∂(distances)/∂raw, by automatic differentiation. The soft torsions do not matter."""
        torsions = raw.new_zeros(len(unbounded.soft_groups), raw.shape[1])
        with torch.enable_grad():
            raw = raw.detach().requires_grad_()
            distances = self.of(unbounded.positions(torsions, raw)[0].permute(2, 1, 0))
            rows = [torch.autograd.grad(one.sum(), raw, retain_graph=True)[0].T for one in distances]
        return torch.stack(rows, 1) if rows else raw.new_zeros(raw.shape[1], 0, raw.shape[0])


def closing_distances(
    graph: MolecularGraph, zmatrix: ZMatrix, groups: Sequence[Group], atoms: Collection[int]
) -> ClosingDistances:
    """Bonds and 1–3 distances across the bonds among ``atoms`` that the tree leaves out.

    Where the last atom of a ring is placed by closure, its bonds are coordinates, its angles are not.
    """
    placed = {frozenset((g.children[0], partner(g))): g for g in groups if g.closure is not None}
    pairs = set()
    for bond in zmatrix.closures:
        if bond[0] not in atoms:
            continue
        hinges = [bond, bond[::-1]]
        group = placed.get(frozenset(bond))
        if group is None:
            pairs.add(bond)
        else:
            hinges.append((group.children[0], group.centre))
        for end, hinge in hinges:
            pairs.update((min(end, n), max(end, n)) for n in graph.neighbours[hinge] if n != end)
    return ClosingDistances(pairs)
