"""Positions to soft torsions and stiff coordinates and back, with the Jacobian.

**The measure of every density in boltzgen.** Z = ∫ exp(−u) dx_int. dx_int is the Cartesian measure (nm) of the
labelled atoms with the 8π²V of rigid motion divided out (4πV for a diatomic, V for one atom), over the
configurations that keep every stereocentre and every order of prochiral labels. In bonds b, angles θ and
torsions, |∂x/∂q| = b₁² b₂² sin θ₁ · Π b² sin θ over the further atoms. Symmetric rotors are folded into one
period; ``log_multiplicity`` is the logarithm of the number of images that the fold leaves out, so that
Z = Z_domain · exp(log_multiplicity).

Stiff coordinates are unbounded: the logarithm of a bond, the logit of an angle or gap between its bounds, the
log-ratio of gaps round a centre, then whitened. What the ranges exclude no sample can break: a tetrahedral
centre keeps its handedness, a double bond its side. Batch last inside, batch first outside.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from boltzgen.coordinates.base import StiffBase
from boltzgen.coordinates.closures import Closures
from boltzgen.coordinates.groups import TURN, GapGroups, Group
from boltzgen.coordinates.labels import LabelRules
from boltzgen.coordinates.placement import Placement
from boltzgen.coordinates.whitening import Whitening
from boltzgen.coordinates.zmatrix import ZMatrix


class MolecularCoordinates(nn.Module):
    """Bijection between positions in the fundamental domain and (torsions, stiff coordinates).

    ``n_torsions`` torsions τ ∈ (−π, π] on the circle, ``n_stiff`` unbounded coordinates that ``base`` describes at
    the temperature of the frames, ``folds`` [n_torsions] the periods each torsion's rotor has in a turn.
    """

    folds: Tensor
    centres: Tensor
    low: Tensor
    width: Tensor
    mixing: Tensor

    def __init__(self, zmatrix: ZMatrix, groups: list[Group], labels: LabelRules, base: StiffBase) -> None:
        super().__init__()
        self.zmatrix, self.groups, self.labels, self.base = zmatrix, groups, labels, base
        self.placement = Placement(zmatrix)
        self.n_atoms = zmatrix.n_atoms
        self.soft_groups = [g for g in groups if g.torsion and g.soft]
        self.stiff_groups = [g for g in groups if g.torsion and not g.soft]
        self.pair_groups = [g for g in groups if g.gaps == "pair"]
        self.torsion_names = [self._torsion_name(g) for g in self.soft_groups]
        self.n_torsions = len(self.soft_groups)
        self.n_bonds = max(self.n_atoms - 1, 0)
        self.n_bent, self.n_linear = self.placement.bent.numel(), self.placement.linear.numel()
        self.simplices = nn.ModuleList()
        self.simplex_groups: list[list[Group]] = []
        for kind, size in sorted(
            {(g.gaps, len(g.children)) for g in groups if g.gaps in ("convex", "simplex")}
        ):
            alike = [g for g in groups if g.gaps == kind and len(g.children) == size]
            self.simplices.append(GapGroups(kind, size, len(alike)))
            self.simplex_groups.append(alike)
        self.n_intervals = self.n_bent + len(self.pair_groups) + len(self.stiff_groups)
        self.n_stiff = self.n_bonds + self.n_intervals + 2 * self.n_linear
        self.n_stiff += sum(simplex.n_raw for simplex in self.simplices)
        self.closures = Closures(zmatrix, [g for g in self.stiff_groups if g.closure is not None])
        self.whitening = Whitening(self.n_stiff)
        self._register_tables()

    def _register_tables(self) -> None:
        def table(values: list[float]) -> Tensor:
            return torch.tensor(values, dtype=torch.float64)[:, None]

        low = [0.0] * self.n_bent + [g.gap_low for g in self.pair_groups] + [g.low for g in self.stiff_groups]
        width = [math.pi] * self.n_bent
        width += [g.gap_width for g in self.pair_groups] + [g.width for g in self.stiff_groups]
        self.register_buffer("low", table(low), persistent=False)
        self.register_buffer("width", table(width), persistent=False)
        self.register_buffer(
            "centres", table([g.centre_of_range for g in self.soft_groups]), persistent=False
        )
        folds = torch.tensor([g.fold for g in self.soft_groups], dtype=torch.long)
        self.register_buffer("folds", folds, persistent=False)
        self.log_scale = sum(math.log(w) for w in width) - sum(math.log(g.fold) for g in self.soft_groups)
        self.register_buffer("mixing", self._azimuth_matrix(), persistent=False)
        self._register_closures()

    def _register_closures(self) -> None:
        """Rows of the last atoms of rings among bonds, angles and intervals, and of all other bonds and angles."""
        rank = {atom: k for k, atom in enumerate(self.zmatrix.order)}
        angle = {int(row): k for k, row in enumerate(self.placement.bent)}
        closing = [g for g in self.stiff_groups if g.closure is not None]
        bonds = [rank[g.children[0]] - 1 for g in closing]
        angles = [angle[rank[g.children[0]]] for g in closing]
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
        self.log_scale -= len(closing) * math.log(math.pi)

    def links(self) -> list[tuple[int, int]]:
        """(parent, child) of the bond that each stiff coordinate before whitening belongs to."""
        placed = self.zmatrix.order[2:]

        def to(atom: int) -> tuple[int, int]:
            return self.zmatrix.parent[atom], atom

        result = [to(atom) for atom in self.zmatrix.order[1:]]
        result += [to(atom) for atom in placed if not self.zmatrix.linear[atom]]
        result += [to(g.children[1]) for g in self.pair_groups] + [
            to(g.children[0]) for g in self.stiff_groups
        ]
        result += 2 * [to(atom) for atom in placed if self.zmatrix.linear[atom]]
        for alike in self.simplex_groups:
            for k in range(1, len(alike[0].children)):
                result += [to(g.children[k]) for g in alike]
        return result

    def _azimuth_matrix(self) -> Tensor:
        """Azimuths of the placed atoms from [soft torsions, gaps of pairs, stiff torsions, gaps of simplices]."""
        columns = [(g, -1) for g in self.soft_groups] + [(g, 0) for g in self.pair_groups]
        columns += [(g, -1) for g in self.stiff_groups]
        for alike in self.simplex_groups:
            columns += [(g, k) for k in range(len(alike[0].children) - 1) for g in alike]
        matrix = torch.zeros(max(self.n_atoms - 2, 0), len(columns), dtype=torch.float64)
        rank = {atom: k - 2 for k, atom in enumerate(self.zmatrix.order)}
        for column, (group, gap) in enumerate(columns):
            m = len(group.children)
            # Gap k moves all children after it; the mean anchor takes back the average of that.
            anchor = (m - 1 - gap) / m if group.mean_anchor and gap >= 0 else 0.0
            for i, child in enumerate(group.children):
                matrix[rank[child], column] = (1.0 if i > gap else 0.0) - anchor
        return matrix

    @property
    def log_multiplicity(self) -> float:
        """ln of the number of labelled images that folding leaves out."""
        return self.labels.log_multiplicity

    def to_positions(
        self, torsions: Float[Tensor, "batch torsions"], stiff: Float[Tensor, "batch stiff"]
    ) -> tuple[Float[Tensor, "batch atoms 3"], Float[Tensor, " batch"]]:
        """Positions (nm) and ln |∂x_int/∂(τ, y)|. The root atom is at the origin, its first bond along z."""
        raw, log_det = self.whitening.unwhiten(stiff.T)
        parts = raw.split([self.n_bonds, self.n_intervals, 2 * self.n_linear, *self._simplex_sizes()])
        log_bonds, logits, projected = parts[:3]
        bonds = log_bonds.exp()
        values = self.low + self.width * torch.sigmoid(logits)
        angles, intervals = values[: self.n_bent], values[self.n_bent :]
        log_det = log_det + self._log_volume(log_bonds, angles, logits, projected)
        soft = self.centres + torsions.T / self.folds[:, None]
        gaps = []
        for simplex, part in zip(self.simplices, parts[3:], strict=True):
            gap, log_slope = simplex.gaps(part)
            gaps.append(gap)
            log_det = log_det + log_slope
        azimuths = self.mixing @ torch.cat([soft, intervals, *gaps])
        polar = self._join(angles, azimuths, projected)
        if self.closures.groups:
            s, t = log_bonds[self.closing_bonds], logits[self.closing_angles]
            bonds, polar, log_closed = self.closures.close(
                bonds, polar, s, t, intervals[self.closing_torsions]
            )
            log_det = log_det + log_closed
        return self.placement.place(bonds, polar).permute(2, 1, 0), log_det

    def _log_volume(self, log_bonds: Tensor, angles: Tensor, logits: Tensor, projected: Tensor) -> Tensor:
        """ln |∂x/∂(τ, raw)| but for the gaps of simplices and the closing atoms of rings."""
        slopes = _log_slope(logits)
        if self.closures.groups:
            slopes = slopes.index_fill(0, self.closing_angles, 0.0)
            log_bonds, angles = log_bonds[self.free_bonds], angles[self.free_angles]
        log_det = 3.0 * log_bonds.sum(0) + _log_sin(angles).sum(0) + slopes.sum(0)
        return log_det + _log_projection(projected) + self.log_scale

    def from_positions(
        self, x: Float[Tensor, "batch atoms 3"]
    ) -> tuple[Float[Tensor, "batch torsions"], Float[Tensor, "batch stiff"], Float[Tensor, " batch"]]:
        """Torsions, stiff coordinates and the ln |det| that ``to_positions`` gives there; x is relabelled first.

        Where x is outside the ranges (another stereoisomer) ln |det| is +inf: a density there is zero.
        """
        torsions, raw, log_det = self.raw_coordinates(self.canonicalise(x).permute(2, 1, 0))
        stiff, log_slope = self.whitening.whiten(raw)
        return torsions.T, stiff.T, log_det + log_slope

    def raw_coordinates(self, x: Float[Tensor, "3 atoms batch"]) -> tuple[Tensor, Tensor, Tensor]:
        """τ [torsions, batch], stiff coordinates before whitening [stiff, batch], ln |∂x/∂(τ, raw)| [batch]."""
        bonds, polar = self.placement.measure(x)
        bent = self.placement.bent - 2
        angles, projected = polar[0, bent], polar[:, self.placement.linear - 2].flatten(0, 1)
        rank = {atom: k - 2 for k, atom in enumerate(self.zmatrix.order)}

        def azimuths(group: Group) -> Tensor:
            return polar[1, [rank[c] for c in group.children]]

        def stacked(rows: list[Tensor]) -> Tensor:
            return torch.stack(rows) if rows else bonds.new_zeros(0, bonds.shape[1])

        soft = stacked([g.torsion_value(azimuths(g)) for g in self.soft_groups])
        pairs = stacked([g.gap_values(azimuths(g))[0] for g in self.pair_groups])
        stiff = stacked([g.torsion_value(azimuths(g)) for g in self.stiff_groups])
        intervals = torch.cat([pairs, stiff])
        if self.closures.groups:
            s, t, chi, log_closed = self.closures.measure(x)
            intervals = intervals.index_copy(0, self.closing_torsions, chi)
        low = self.low[self.n_bent :]
        share = torch.cat([angles, low + torch.remainder(intervals - low, TURN)])
        share = (share - self.low) / self.width
        inside = ((share > 0) & (share < 1)).all(0)
        edge = torch.finfo(share.dtype).eps
        logits, log_bonds = torch.logit(share.clamp(edge, 1.0 - edge)), bonds.log()
        log_det = self._log_volume(log_bonds, angles, logits, projected)
        if self.closures.groups:
            log_bonds = log_bonds.index_copy(0, self.closing_bonds, s)
            logits = logits.index_copy(0, self.closing_angles, t)
            log_det = log_det + log_closed
        torsions = _wrap((soft - self.centres) * self.folds[:, None])
        raw = [log_bonds, logits, projected]
        for simplex, alike in zip(self.simplices, self.simplex_groups, strict=True):
            gaps = torch.stack([g.gap_values(azimuths(g)) for g in alike], 1)
            part, log_slope, in_range = simplex.raw(gaps)
            raw.append(part)
            log_det, inside = log_det + log_slope, inside & in_range
        return torsions, torch.cat(raw), torch.where(inside, log_det, torch.inf)

    def canonicalise(self, x: Float[Tensor, "batch atoms 3"]) -> Float[Tensor, "batch atoms 3"]:
        """x with its labels exchanged such that it lies in the fundamental domain."""
        return self.labels.canonicalise(x, self.placement)

    def randomise_labels(
        self, x: Float[Tensor, "batch atoms 3"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "batch atoms 3"]:
        """A uniformly random one of the exp(log_multiplicity) images of each x."""
        return self.labels.randomise(x, generator)

    def config(self) -> dict[str, Any]:
        """What ``from_config`` needs beside the state dict, as JSON can hold it."""
        return {
            "zmatrix": self.zmatrix.config(),
            "groups": [g.config() for g in self.groups],
            "labels": self.labels.config(),
            "base": self.base.config(),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> MolecularCoordinates:
        """Coordinates as ``config`` describes them; load the state dict for whitening and base."""
        return cls(
            ZMatrix.from_config(config["zmatrix"]),
            [Group.from_config(g) for g in config["groups"]],
            LabelRules.from_config(config["labels"]),
            StiffBase.from_config(config["base"]),
        )

    def _simplex_sizes(self) -> list[int]:
        return [simplex.n_raw for simplex in self.simplices]

    def _join(self, angles: Tensor, azimuths: Tensor, projected: Tensor) -> Tensor:
        """Polar coordinates [2, placed, batch] of bent and linear atoms in tree order."""
        if not self.n_linear:
            return torch.stack([angles, azimuths])
        first = torch.zeros_like(azimuths).index_copy(0, self.placement.bent - 2, angles)
        polar = torch.stack([first, azimuths])
        return polar.index_copy(1, self.placement.linear - 2, projected.unflatten(0, (2, self.n_linear)))

    def _torsion_name(self, group: Group) -> str:
        axis = self.zmatrix.axis[group.centre]
        atoms = (group.children[0], group.centre, axis, self.zmatrix.reference[group.centre])
        return "-".join(str(a) for a in atoms)


def _log_slope(logits: Tensor) -> Tensor:
    """ln dσ/dr of the logistic function σ(r)."""
    return -(nn.functional.softplus(logits) + nn.functional.softplus(-logits))


def _log_sin(angles: Tensor) -> Tensor:
    return torch.sin(angles).clamp_min(torch.finfo(angles.dtype).tiny).log()


def _log_projection(projected: Tensor) -> Tensor:
    """ln of the solid angle per d²p of the stereographic projection, 4/(1 + p²)², over the atoms in line."""
    square = (projected.unflatten(0, (2, projected.shape[0] // 2)) ** 2).sum(0)
    return (math.log(4.0) - 2.0 * torch.log1p(square)).sum(0)


def _wrap(angle: Tensor) -> Tensor:
    """Angle in (−π, π]."""
    return math.pi - torch.remainder(math.pi - angle, TURN)
