"""Positions from bond lengths and local directions along a tree, and back: the geometry, batch last.

Placement turns the frame of each atom into that of its children; every change of one coordinate therefore
moves a whole branch as a rigid body, and the gradient is the force on, or the torque about the axis of, that
branch (Abe, Braun, Noguti & Go 1984). Nothing is divided by: positions and gradients are always finite.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from boltzgen.coordinates import cuda_placement
from boltzgen.coordinates.zmatrix import ZMatrix

TINY = 1e-12  # nm², in the norm of vectors that may vanish


class Placement(nn.Module):
    """The tree of a ZMatrix as index tensors; coordinates and positions are in the order of its atoms.

    Polar coordinates (p1, p2) of an atom are its angle to the axis and its azimuth, or, where it is in line,
    half the two stereographic coordinates: direction (2 p1, 2 p2, 1 − p²)/(1 + p²) in (e1, e2, e3).
    """

    order: Tensor
    back: Tensor
    parent: Tensor
    axis: Tensor
    reference: Tensor
    linear: Tensor
    bent: Tensor
    branch: Tensor
    table: Tensor

    def __init__(self, zmatrix: ZMatrix) -> None:
        super().__init__()
        n = zmatrix.n_atoms
        rank = {atom: k for k, atom in enumerate(zmatrix.order)}
        placed = zmatrix.order[2:]
        self.levels = zmatrix.levels

        def indices(atoms: Any) -> Tensor:
            return torch.tensor([rank[a] for a in atoms], dtype=torch.long)

        self.register_buffer("order", torch.tensor(zmatrix.order), persistent=False)
        self.register_buffer("back", indices(range(n)), persistent=False)
        self.register_buffer("parent", indices(zmatrix.parent[a] for a in zmatrix.order), persistent=False)
        self.register_buffer("axis", indices(zmatrix.axis[a] for a in zmatrix.order), persistent=False)
        self.register_buffer(
            "reference", indices(zmatrix.reference[a] for a in zmatrix.order), persistent=False
        )
        self.register_buffer("linear", indices(a for a in placed if zmatrix.linear[a]), persistent=False)
        self.register_buffer("bent", indices(a for a in placed if not zmatrix.linear[a]), persistent=False)
        in_line = torch.tensor([k > 1 and zmatrix.linear[a] for k, a in enumerate(zmatrix.order)])
        table = torch.stack([self.order, self.parent, in_line.long()]).to(torch.int32)
        self.register_buffer("table", table, persistent=False)
        branch = torch.eye(n)
        for k in range(n - 1, 0, -1):
            branch[self.parent[k]] += branch[k]
        self.register_buffer("branch", branch, persistent=False)

    def place(
        self, bonds: Float[Tensor, "bonds batch"], polar: Float[Tensor, "2 placed batch"]
    ) -> Float[Tensor, "3 atoms batch"]:
        """Positions (nm, molecule's atom order) from bond lengths and polar coordinates in tree order."""
        place = _PlaceByKernel if cuda_placement.serves(polar) else _Place
        return place.apply(bonds, polar, self)

    def frames(self, x: Float[Tensor, "3 atoms batch"], atoms: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """e1, e2, e3 [3, k, batch] of the tree's ``atoms`` [k] at positions in tree order."""
        axis = self.axis[atoms]
        e3 = _unit(x[:, atoms] - x[:, axis])
        towards = x[:, self.reference[atoms]] - x[:, axis]
        e1 = _unit(towards - _dot(towards, e3) * e3)
        if self.linear.numel():
            e1 = self._carried(x, atoms, e1, e3)
        return e1, cross(e3, e1), e3

    def _carried(self, x: Tensor, atoms: Tensor, e1: Tensor, e3: Tensor) -> Tensor:
        """Replaces e1 of atoms in line by their parent's, turned by the smallest rotation of the axis."""
        rows = list(e1.unbind(1))
        linear = set(self.linear.tolist())
        for k, atom in enumerate(atoms.tolist()):
            if atom in linear:
                before, _, axis = self.frames(x, self.parent[atom : atom + 1])
                between = axis + e3[:, k : k + 1]
                # 1 + cos vanishes only where the bond folds back on the one before.
                scale = _dot(before, e3[:, k : k + 1]) / (0.5 * _dot(between, between)).clamp_min(TINY)
                rows[k] = (before - scale * between)[:, 0]
        return torch.stack(rows, 1)

    def measure(
        self, x: Float[Tensor, "3 atoms batch"]
    ) -> tuple[Float[Tensor, "bonds batch"], Float[Tensor, "2 placed batch"]]:
        """Bond lengths and polar coordinates, in tree order, of positions in the molecule's atom order."""
        x = x[:, self.order]
        step = x[:, 1:] - x[:, self.parent[1:]]
        bonds = _dot(step, step).clamp_min(TINY).sqrt()[0]
        if x.shape[1] < 3:
            return bonds, x.new_zeros(2, 0, x.shape[2])
        e1, e2, e3 = self.frames(x, self.parent[2:])
        direction = step[:, 1:] / bonds[1:]
        local = torch.stack([_dot(e, direction)[0] for e in (e1, e2, e3)])
        across = (local[0] ** 2 + local[1] ** 2).clamp_min(TINY).sqrt()
        azimuth = _safe_atan2(local[1], local[0])
        polar = torch.stack([torch.atan2(across, -local[2]), azimuth])
        if self.linear.numel():
            rows = self.linear - 2
            projected = local[:2, rows] / (1.0 + local[2, rows]).clamp_min(TINY)
            polar = polar.index_copy(1, rows, projected)
        return bonds, polar

    def azimuths(self, x: Float[Tensor, "3 atoms batch"], centre: int, others: Tensor) -> Tensor:
        """Azimuths [k, batch] of the atoms ``others`` [k] in the frame of ``centre``; all in tree order."""
        e1, e2, _ = self.frames(x, torch.tensor([centre], device=x.device))
        step = x[:, others] - x[:, centre : centre + 1]
        return torch.atan2(_dot(e2, step)[0], _dot(e1, step)[0])

    def local_axes(self, polar: Tensor) -> tuple[Tensor, Tensor]:
        """Direction and e1 of each placed atom [3, placed, batch] in its parent's frame."""
        sin_p, cos_p = torch.sin(polar), torch.cos(polar)
        (sin_t, sin_a), (cos_t, cos_a) = sin_p, cos_p
        direction = torch.stack([sin_t * cos_a, sin_t * sin_a, -cos_t])
        e1 = torch.stack([-cos_t * cos_a, -cos_t * sin_a, -sin_t])
        if self.linear.numel():
            rows = self.linear - 2
            p = polar[:, rows]
            square = (p**2).sum(0)
            inline = torch.cat([2.0 * p, (1.0 - square)[None]]) / (1.0 + square)
            direction[:, rows] = inline
            turned = torch.stack([1.0 - p[0] * inline[0], -p[0] * inline[1], -p[0] * (1.0 + inline[2])])
            e1[:, rows] = turned
        return direction, e1


class _Place(torch.autograd.Function):
    """Placement with its gradient by branch forces and torques."""

    @staticmethod
    def forward(ctx: Any, bonds: Tensor, polar: Tensor, tree: Placement) -> Tensor:
        n, batch = tree.order.numel(), polar.shape[-1]
        x = polar.new_zeros(3, n, batch)
        e1, e2, e3 = (polar.new_zeros(3, n, batch) for _ in range(3))
        e1[0, :2], e3[2, 0] = 1.0, 1.0
        e2[1, 0] = 1.0
        if n > 1:
            e2[1, 1], e3[2, 1] = -1.0, -1.0
            x[2, 1] = -bonds[0]
        if n > 2:
            direction, first = tree.local_axes(polar)
            start = 2
            for size in tree.levels[2:]:
                level, parent = slice(start, start + size), tree.parent[start : start + size]
                rows = slice(start - 2, start - 2 + size)
                axes = [e.index_select(1, parent) for e in (e1, e2, e3)]
                u = _combine(direction[:, rows], axes)
                f = _combine(first[:, rows], axes)
                e3[:, level], e1[:, level] = u, f
                e2[:, level] = cross(u, f)
                x[:, level] = x.index_select(1, parent) + bonds[start - 1 : start - 1 + size] * u
                start += size
        ctx.save_for_backward(polar, x, e1, e2, e3)
        ctx.tree = tree
        return x.index_select(1, tree.back)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        polar, x, e1, e2, e3 = ctx.saved_tensors
        tree: Placement = ctx.tree
        n = x.shape[1]
        g = gradient.index_select(1, tree.order)
        if n < 2:
            return torch.zeros_like(gradient[0, :0]), torch.zeros_like(polar), None
        moments = torch.cat([g, cross(x, g)])
        sums = torch.matmul(tree.branch.to(x.dtype), moments)
        force = sums[:3, 1:]
        grad_bonds = (force * e3[:, 1:]).sum(0)
        if n == 2:
            return grad_bonds, torch.zeros_like(polar), None
        parent = tree.parent[2:]
        pivot = x.index_select(1, parent)
        torque = sums[3:, 2:] - cross(pivot, sums[:3, 2:])
        about_axis = (e3.index_select(1, parent) * torque).sum(0)
        grad_polar = torch.stack([-(e2[:, 2:] * torque).sum(0), about_axis])
        if tree.linear.numel():
            rows = tree.linear - 2
            p = polar[:, rows]
            about = [(e.index_select(1, parent[rows]) * torque[:, rows]).sum(0) for e in (e1, e2, e3)]
            # ω = 2 (dr + r × dr)/(1 + r²) for the Gibbs vector r = (−p2, p1, 0).
            scale = 2.0 / (1.0 + (p**2).sum(0))
            grad_polar[0, rows] = scale * (about[1] - p[1] * about[2])
            grad_polar[1, rows] = scale * (p[0] * about[2] - about[0])
        return grad_bonds, grad_polar, None


class _PlaceByKernel(torch.autograd.Function):
    """The same by one kernel each way."""

    @staticmethod
    def forward(ctx: Any, bonds: Tensor, polar: Tensor, tree: Placement) -> Tensor:
        positions, x, frames = cuda_placement.place(bonds, polar, tree.table)
        ctx.save_for_backward(polar, tree.table, x, frames)
        return positions

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return *cuda_placement.place_gradient(gradient, *ctx.saved_tensors), None


def _combine(components: Tensor, axes: list[Tensor]) -> Tensor:
    return components[0] * axes[0] + components[1] * axes[1] + components[2] * axes[2]


def cross(a: Tensor, b: Tensor) -> Tensor:
    """Cross product along the first dimension, several times faster here than torch.linalg.cross."""
    ax, ay, az = a.unbind(0)
    bx, by, bz = b.unbind(0)
    return torch.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx])


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(0, keepdim=True)


def _unit(v: Tensor) -> Tensor:
    return v * torch.rsqrt(_dot(v, v).clamp_min(TINY))


def _safe_atan2(y: Tensor, x: Tensor) -> Tensor:
    """atan2 with gradient zero, not NaN, at the origin."""
    vanishing = (x**2 + y**2) < TINY
    return torch.atan2(torch.where(vanishing, 0.0, y), torch.where(vanishing, 1.0, x))
