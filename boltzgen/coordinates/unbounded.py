"""Unbounded coordinates: torsions on the circle, and stiff coordinates whose ranges no value can leave.

A bond is b = w softplus(r/w); an angle, the gap of a pair and a stiff torsion are logistic functions between
their bounds, the gaps round a centre shares of the whole, a direction in line its stereographic projection.
All are close to linear over thermal fluctuations. Batch last throughout.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from boltzgen.coordinates.closures import Closures
from boltzgen.coordinates.groups import TURN, GapGroups, Group
from boltzgen.coordinates.placement import Placement
from boltzgen.coordinates.zmatrix import ZMatrix

BOND_SOFTNESS = 0.3  # nm, w above: the curvature is near that of the logarithm, without its overflow
SHORTEST_BOND = 1e-8  # nm


class UnboundedCoordinates(nn.Module):
    """Bijection between positions and (τ, r): torsions and raw stiff coordinates.

    r is, in this order: bonds; intervals (angles, gaps of pairs, stiff torsions); projected directions; gaps
    of simplices by kind and size. In place of the last bond and angle of a ring stand its closure
    coordinates.
    """

    folds: Tensor
    centres: Tensor
    low: Tensor
    width: Tensor
    mixing: Tensor
    closing_bonds: Tensor
    closing_angles: Tensor
    closing_torsions: Tensor
    free_bonds: Tensor
    free_angles: Tensor

    def __init__(self, zmatrix: ZMatrix, groups: list[Group]) -> None:
        super().__init__()
        self.zmatrix = zmatrix
        self.placement = Placement(zmatrix)
        self.soft_groups = [g for g in groups if g.torsion and g.soft]
        self.stiff_groups = [g for g in groups if g.torsion and not g.soft]
        self.pair_groups = [g for g in groups if g.gaps == "pair"]
        self.simplices: list[GapGroups] = []
        for kind in ("convex", "simplex"):
            several = [g for g in groups if g.gaps == kind]
            for size in sorted({len(g.children) for g in several}):
                self.simplices.append(GapGroups([g for g in several if len(g.children) == size]))
        self.closures = Closures(zmatrix, [g for g in self.stiff_groups if g.closure is not None])
        self.n_bonds = max(zmatrix.n_atoms - 1, 0)
        self.n_bent, self.n_linear = self.placement.bent.numel(), self.placement.linear.numel()
        self.n_intervals = self.n_bent + len(self.pair_groups) + len(self.stiff_groups)
        self.sizes = [self.n_bonds, self.n_intervals, 2 * self.n_linear, *(s.n_raw for s in self.simplices)]
        self.rank = {atom: k for k, atom in enumerate(zmatrix.order)}
        self._register_ranges()
        self._register_closing_rows()

    def _register_ranges(self) -> None:
        low = [0.0] * self.n_bent + [g.gap_low for g in self.pair_groups] + [g.low for g in self.stiff_groups]
        width = [math.pi] * self.n_bent
        width += [g.gap_width for g in self.pair_groups] + [g.width for g in self.stiff_groups]
        folds = [g.fold for g in self.soft_groups]
        for name, values in {"low": low, "width": width}.items():
            self.register_buffer(name, torch.tensor(values, dtype=torch.float64)[:, None], persistent=False)
        centres = torch.tensor([g.low + 0.5 * g.width for g in self.soft_groups], dtype=torch.float64)
        self.register_buffer("centres", centres[:, None], persistent=False)
        self.register_buffer("folds", torch.tensor(folds, dtype=torch.long)[:, None], persistent=False)
        self.register_buffer("mixing", self._azimuth_matrix(), persistent=False)
        self.log_scale = sum(map(math.log, width)) - sum(map(math.log, folds))
        self.log_scale -= len(self.closures.groups) * math.log(math.pi)  # their angles are not intervals

    def _register_closing_rows(self) -> None:
        """Rows of the closure coordinates of rings among bonds, angles and intervals, and the other rows."""
        angle = {int(row): k for k, row in enumerate(self.placement.bent)}
        bonds = [self.rank[g.children[0]] - 1 for g in self.closures.groups]
        angles = [angle[self.rank[g.children[0]]] for g in self.closures.groups]
        torsions = [
            len(self.pair_groups) + k for k, g in enumerate(self.stiff_groups) if g.closure is not None
        ]
        for name, rows in {
            "closing_bonds": bonds,
            "closing_angles": angles,
            "closing_torsions": torsions,
            "free_bonds": sorted(set(range(self.n_bonds)) - set(bonds)),
            "free_angles": sorted(set(range(self.n_bent)) - set(angles)),
        }.items():
            self.register_buffer(name, torch.tensor(rows, dtype=torch.long), persistent=False)

    def _azimuth_matrix(self) -> Tensor:
        """Azimuths of placed atoms from [soft torsions, gaps of pairs, stiff torsions, gaps of simplices]."""
        columns = [(g, -1) for g in self.soft_groups] + [(g, 0) for g in self.pair_groups]
        columns += [(g, -1) for g in self.stiff_groups]
        for simplex in self.simplices:
            columns += [(g, k) for k in range(simplex.size - 1) for g in simplex.groups]
        matrix = torch.zeros(max(self.zmatrix.n_atoms - 2, 0), len(columns), dtype=torch.float64)
        for column, (group, gap) in enumerate(columns):
            m = len(group.children)
            # Gap k moves all children after it; the mean anchor takes back the average of that.
            anchor = (m - 1 - gap) / m if group.mean_anchor and gap >= 0 else 0.0
            for i, child in enumerate(group.children):
                matrix[self.rank[child] - 2, column] = (1.0 if i > gap else 0.0) - anchor
        return matrix

    def links(self) -> list[tuple[int, int]]:
        """(parent, child) of the bond that each stiff coordinate belongs to."""
        placed = self.zmatrix.order[2:]
        children = list(self.zmatrix.order[1:])
        children += [atom for atom in placed if not self.zmatrix.linear[atom]]
        children += [g.children[1] for g in self.pair_groups] + [g.children[0] for g in self.stiff_groups]
        children += 2 * [atom for atom in placed if self.zmatrix.linear[atom]]
        for simplex in self.simplices:
            children += [g.children[k] for k in range(1, simplex.size) for g in simplex.groups]
        return [(self.zmatrix.parent[child], child) for child in children]

    def positions(
        self, torsions: Float[Tensor, "torsions batch"], raw: Float[Tensor, "stiff batch"]
    ) -> tuple[Float[Tensor, "3 atoms batch"], Float[Tensor, " batch"]]:
        """Positions and ln |∂x_int/∂(τ, r)|."""
        lengths, logits, projected, *rest = raw.split(self.sizes)
        bonds = (BOND_SOFTNESS * nn.functional.softplus(lengths / BOND_SOFTNESS)).clamp_min(SHORTEST_BOND)
        values = self.low + self.width * torch.sigmoid(logits)
        angles, intervals = values[: self.n_bent], values[self.n_bent :]
        log_det = self._log_volume(lengths, bonds, angles, logits, projected)
        gaps = []
        for simplex, part in zip(self.simplices, rest, strict=True):
            gap, log_slope = simplex.gaps(part)
            gaps.append(gap)
            log_det = log_det + log_slope
        azimuths = self.mixing @ torch.cat([self.centres + torsions / self.folds, intervals, *gaps])
        polar = self._polar(angles, azimuths, projected)
        if self.closures.groups:
            s, t = lengths[self.closing_bonds], logits[self.closing_angles]
            bonds, polar, log_closed = self.closures.close(
                bonds, polar, s, t, intervals[self.closing_torsions]
            )
            log_det = log_det + log_closed
        return self.placement.place(bonds, polar), log_det

    def measure(
        self, x: Float[Tensor, "3 atoms batch"]
    ) -> tuple[Float[Tensor, "torsions batch"], Float[Tensor, "stiff batch"], Float[Tensor, " batch"]]:
        """τ, r and ln |∂x_int/∂(τ, r)|; the latter +inf where x is outside the ranges."""
        bonds, polar = self.placement.measure(x)
        angles = polar[0, self.placement.bent - 2]
        projected = polar[:, self.placement.linear - 2].flatten(0, 1)

        def azimuths(group: Group) -> Tensor:
            return polar[1, [self.rank[child] - 2 for child in group.children]]

        def stacked(rows: list[Tensor]) -> Tensor:
            return torch.stack(rows) if rows else bonds.new_zeros(0, x.shape[-1])

        soft = stacked([g.torsion_value(azimuths(g)) for g in self.soft_groups])
        intervals = [g.gap_values(azimuths(g))[0] for g in self.pair_groups]
        intervals += [g.torsion_value(azimuths(g)) for g in self.stiff_groups]
        turning = stacked(intervals)
        if self.closures.groups:
            s, t, chi, log_closed = self.closures.measure(x)
            turning = turning.index_copy(0, self.closing_torsions, chi)
        low = self.low[self.n_bent :]
        share = (torch.cat([angles, low + torch.remainder(turning - low, TURN)]) - self.low) / self.width
        inside = ((share > 0) & (share < 1)).all(0)
        edge = torch.finfo(share.dtype).eps
        logits = torch.logit(share.clamp(edge, 1.0 - edge))
        lengths = bonds + BOND_SOFTNESS * torch.log(-torch.expm1(-bonds / BOND_SOFTNESS))
        log_det = self._log_volume(lengths, bonds, angles, logits, projected)
        if self.closures.groups:
            lengths = lengths.index_copy(0, self.closing_bonds, s)
            logits = logits.index_copy(0, self.closing_angles, t)
            log_det = log_det + log_closed
        raw = [lengths, logits, projected]
        for simplex in self.simplices:
            gaps = torch.stack([g.gap_values(azimuths(g)) for g in simplex.groups], 1)
            part, log_slope, in_range = simplex.raw(gaps)
            raw.append(part)
            log_det, inside = log_det + log_slope, inside & in_range
        torsions = _wrap((soft - self.centres) * self.folds)
        return torsions, torch.cat(raw), torch.where(inside, log_det, torch.inf)

    def _polar(self, angles: Tensor, azimuths: Tensor, projected: Tensor) -> Tensor:
        """Polar coordinates [2, placed, batch] of bent and linear atoms in tree order."""
        if not self.n_linear:
            return torch.stack([angles, azimuths])
        first = torch.zeros_like(azimuths).index_copy(0, self.placement.bent - 2, angles)
        polar = torch.stack([first, azimuths])
        return polar.index_copy(1, self.placement.linear - 2, projected.unflatten(0, (2, self.n_linear)))

    def _log_volume(
        self, lengths: Tensor, bonds: Tensor, angles: Tensor, logits: Tensor, projected: Tensor
    ) -> Tensor:
        """ln |∂x/∂(τ, r)| but for the gaps of simplices and the closing atoms of rings."""
        log_slopes = -(nn.functional.softplus(logits) + nn.functional.softplus(-logits))
        if self.closures.groups:
            log_slopes = log_slopes.index_fill(0, self.closing_angles, 0.0)
            lengths, bonds = lengths[self.free_bonds], bonds[self.free_bonds]
            angles = angles[self.free_angles]
        log_radial = 2.0 * bonds.log() + nn.functional.logsigmoid(lengths / BOND_SOFTNESS)
        log_sin = torch.sin(angles).clamp_min(torch.finfo(angles.dtype).tiny).log()
        # Solid angle per d²p of a projected direction: 4/(1 + p²)².
        square = projected.unflatten(0, (2, self.n_linear)).square().sum(0)
        log_solid = math.log(4.0) - 2.0 * torch.log1p(square)
        return log_radial.sum(0) + log_sin.sum(0) + log_slopes.sum(0) + log_solid.sum(0) + self.log_scale


def _wrap(angle: Tensor) -> Tensor:
    """Angle in (−π, π]."""
    return math.pi - torch.remainder(math.pi - angle, TURN)
