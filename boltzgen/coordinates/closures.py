"""Ring closure by construction: the last atom of a ring placed by its distances to both neighbours.

The tree leaves one bond of each ring out. Where a ring is not flat, the atom q at its end is placed not from
its parent j alone but from j and the neighbour p across that bond: by the sum S and the difference Δ of its
distances to j and p and the azimuth χ about the line from j to p. Prolate spheroidal coordinates have no
triangle inequality to break: S > D = |x_p − x_j| and |Δ| < D hold for all values of the unbounded coordinates

    S = D + w f((s − D)/w),   f(a) = (a + √(a² + 4))/2,   Δ = D tanh(t/D),   d³x_q = d_j d_p/(2D) dS dΔ dχ,

which are S and Δ themselves (nm) wherever the ring is closed. The tree's own bond, angle and azimuth of q
follow, so that placement is as for any atom; p has to be placed before, on a part of the tree.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from boltzgen.coordinates.groups import Group
from boltzgen.coordinates.placement import TINY, Placement, cross
from boltzgen.coordinates.zmatrix import ZMatrix

SOFTNESS = 0.005  # nm, w above: one tenth of S − D in a closed ring


def partner(group: Group) -> int:
    """The atom across the ring from the first child of ``group``."""
    assert group.closure is not None
    return group.closure


class ClosurePass(nn.Module):
    """Closures that can be solved together, once those of earlier passes are."""

    rows: Tensor
    before: Tensor
    corners: Tensor
    turned: Tensor

    def __init__(self, zmatrix: ZMatrix, groups: list[Group]) -> None:
        super().__init__()
        rank = {atom: k for k, atom in enumerate(zmatrix.order)}
        needed = [atom for g in groups for atom in (partner(g), g.centre)]
        part, kept = zmatrix.part(needed)
        self.placement = Placement(part)
        place = {atom: k for k, atom in enumerate(kept)}
        corners = [[place[g.centre], place[zmatrix.axis[g.centre]], place[partner(g)]] for g in groups]
        kept_rank = [rank[kept[a]] for a in part.order]
        turned = torch.zeros(len(rank) - 2, len(groups), dtype=torch.float64)
        for column, group in enumerate(groups):
            for child in group.children:
                turned[rank[child] - 2, column] = 1.0
        # Rows of the tree: of the atoms q, of the atoms that are placed first, of the children turned with q.
        self.register_buffer("rows", torch.tensor([rank[g.children[0]] for g in groups]), persistent=False)
        self.register_buffer("before", torch.tensor(kept_rank), persistent=False)
        self.register_buffer("corners", torch.tensor(corners).T.contiguous(), persistent=False)
        self.register_buffer("turned", turned, persistent=False)

    def forward(
        self, bonds: Tensor, polar: Tensor, s: Tensor, t: Tensor, chi: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Bonds and polar coordinates with those of the atoms q, and ln |d³x/ds dt dχ|."""
        tree = self.placement
        x = tree.place(bonds[self.before[1:] - 1], polar[:, self.before[2:] - 2])
        centre, axis, across = self.corners
        a, n, m, distance = _corner(x, centre, axis, across)
        excess, log_slope = _positive((s - distance) / SOFTNESS)
        excess = SOFTNESS * excess
        total = distance + excess
        ratio = t / distance
        difference = distance * torch.tanh(ratio)
        log_sech = _log_sech(ratio)
        along = 0.5 * (distance + total * difference / distance)
        radius = 0.5 * (excess * (total + distance)).clamp_min(TINY).sqrt() * log_sech.exp()
        step = along * a + radius * (torch.cos(chi) * n + torch.sin(chi) * m)
        bond = 0.5 * (total + difference)
        other = 0.5 * (total - difference)
        local = torch.stack([(e * step).sum(0) for e in tree.frames(x[:, tree.order], tree.back[centre])])
        sideways = (local[0] ** 2 + local[1] ** 2).clamp_min(TINY).sqrt()
        angle, azimuth = torch.atan2(sideways, -local[2]), torch.atan2(local[1], local[0])
        turn = azimuth - polar[1, self.rows - 2]
        bonds = bonds.index_copy(0, self.rows - 1, bond)
        azimuths = polar[1] + self.turned @ turn
        polar = torch.stack([polar[0].index_copy(0, self.rows - 2, angle), azimuths])
        log_det = (bond * other / (2.0 * distance)).log() + log_slope
        return bonds, polar, (log_det + 2.0 * log_sech).sum(0)


class Closures(nn.Module):
    """All closures of a molecule, in passes. Coordinates s, t, χ are [closures, batch] in order of
    ``groups``."""

    corners: Tensor

    def __init__(self, zmatrix: ZMatrix, groups: list[Group]) -> None:
        super().__init__()
        self.groups = groups
        members = closure_passes(zmatrix, groups)
        for k, part in enumerate(members):
            self.register_buffer(f"members{k}", torch.tensor(part, dtype=torch.long), persistent=False)
        self.passes = nn.ModuleList([ClosurePass(zmatrix, [groups[i] for i in part]) for part in members])
        corners = [[g.centre, zmatrix.axis[g.centre], partner(g), g.children[0]] for g in groups]
        self.register_buffer(
            "corners", torch.tensor(corners, dtype=torch.long).reshape(-1, 4).T, persistent=False
        )

    def close(
        self, bonds: Tensor, polar: Tensor, s: Tensor, t: Tensor, chi: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Tree coordinates with the last atoms of rings in place, and the log of their volume element."""
        log_det = bonds.new_zeros(bonds.shape[1])
        for k, step in enumerate(self.passes):
            members = getattr(self, f"members{k}")
            bonds, polar, log_volume = step(bonds, polar, s[members], t[members], chi[members])
            log_det = log_det + log_volume
        return bonds, polar, log_det

    def measure(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """s, t, χ [closures, batch] and the logarithm of the volume element at positions [3, atoms,
        batch]."""
        centre, axis, across, last = self.corners
        _, n, m, distance = _corner(x, centre, axis, across)
        step = x[:, last] - x[:, centre]
        bond, other = _norm(step), _norm(x[:, last] - x[:, across])
        excess = ((bond + other - distance) / SOFTNESS).clamp_min(1e-6)
        raised = excess - 1.0 / excess
        edge = 1.0 - torch.finfo(x.dtype).eps
        ratio = torch.atanh(((bond - other) / distance).clamp(-edge, edge))
        chi = torch.atan2((m * step).sum(0), (n * step).sum(0))
        log_det = (bond * other / (2.0 * distance)).log() + _positive(raised)[1] + 2.0 * _log_sech(ratio)
        return distance + SOFTNESS * raised, distance * ratio, chi, log_det.sum(0)


def closure_passes(zmatrix: ZMatrix, groups: list[Group]) -> list[list[int]]:
    """Indices of ``groups`` in passes: what each needs is placed by earlier ones. [] if they need each other.

    A closure needs its centre and its partner across, and all that turns with the last atoms before these.
    """
    turned_by = {child: i for i, group in enumerate(groups) for child in group.children}
    needs = []
    for group in groups:
        lines = zmatrix.ancestors(group.centre) | zmatrix.ancestors(partner(group))
        needs.append({turned_by[a] for a in lines if a in turned_by})
    passes: list[list[int]] = []
    done: set[int] = set()
    while len(done) < len(groups):
        ready = [i for i in range(len(groups)) if i not in done and needs[i] <= done]
        if not ready:
            return []
        passes.append(ready)
        done.update(ready)
    return passes


def _corner(x: Tensor, centre: Tensor, axis: Tensor, across: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Unit vectors along centre→across, at right angles to it towards ``axis``, across both; the distance."""
    line = x[:, across] - x[:, centre]
    distance = _norm(line)
    a = line / distance
    towards = x[:, axis] - x[:, centre]
    n = towards - (towards * a).sum(0) * a
    n = n / _norm(n)
    return a, n, cross(a, n), distance


def _positive(a: Tensor) -> tuple[Tensor, Tensor]:
    """f(a) = (a + √(a² + 4))/2 > 0, and ln df/da. f falls off slowly, as 1/|a|."""
    root = (a * a + 4.0).sqrt()
    value = torch.where(a > 0, 0.5 * (a + root), 2.0 / (root - torch.clamp(a, max=0.0)))
    return value, (value / root).log()


def _norm(v: Tensor) -> Tensor:
    return (v * v).sum(0).clamp_min(TINY).sqrt()


def _log_sech(x: Tensor) -> Tensor:
    return math.log(2.0) - x.abs() - nn.functional.softplus(-2.0 * x.abs())
