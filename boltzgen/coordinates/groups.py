"""Groups of atoms placed about one bond: a torsion that turns them together, gaps that set them apart.

The azimuths of the m children of one centre are T + c_i − a with c_i = g_1 + … + g_{i−1}: a torsion T, the
gaps g_1 … g_m > 0 between neighbours, which go once round (Σ g = 2π), and an anchor a: zero, so that T is the
torsion of the first child, or the mean of the c_i, so that T is the mean torsion of a symmetric rotor. Then
passing the labels on cyclically carries T to T + 2π/m exactly. |∂(azimuths)/∂(T, g_1 … g_{m−1})| = 1 for
both.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

GapKind = Literal["none", "pair", "convex", "simplex"]
TURN = 2.0 * math.pi
PLANAR = 0.6  # radians from 0 or π within which a double bond counts as flat


@dataclass(frozen=True)
class Group:
    """The bent children of ``centre``, in ascending azimuth, and the ranges of their coordinates.

    ``torsion``: what the bond from the axis is ("torsion", "rotor", "amide", "ester", "ring", "double"), or
    None at the root, whose first child has azimuth zero. ``soft``: whether the torsion lives on the circle,
    as T = ``low`` + half the ``width`` + τ/``fold``, with the width 2π/``fold``; otherwise it is a stiff
    coordinate in the open interval of ``width`` above ``low``. ``mean_anchor``: T is the mean torsion of the
    children. ``gaps``: "pair": the one gap of two children lies in (``gap_low``, ``gap_low`` +
    ``gap_width``); "convex": three gaps below π, which keeps the handedness of a tetrahedral centre;
    "simplex": any gaps. ``closure``: the atom across the ring to which the first child is bound as well (see
    closures.py).
    """

    centre: int
    children: tuple[int, ...]
    torsion: str | None = None
    soft: bool = False
    fold: int = 1
    mean_anchor: bool = False
    low: float = -math.pi
    width: float = TURN
    gaps: GapKind = "none"
    gap_low: float = 0.0
    gap_width: float = TURN
    closure: int | None = None

    def config(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Group:
        return cls(**(config | {"children": tuple(config["children"])}))

    def changed(self, **changes: Any) -> Group:
        return replace(self, **changes)

    def gap_values(self, azimuths: Tensor) -> Tensor:
        """All m gaps [m, …] of azimuths [m, …], each in [0, 2π)."""
        return torch.remainder(torch.roll(azimuths, -1, 0) - azimuths, TURN)

    def torsion_value(self, azimuths: Tensor) -> Tensor:
        """T [batch] of the children's azimuths [m, batch], not wrapped."""
        if not self.mean_anchor:
            return azimuths[0]
        steps = torch.cumsum(self.gap_values(azimuths)[:-1], 0)
        return azimuths[0] + steps.sum(0) / len(self.children)


class GapGroups:
    """The groups of one kind and size whose gaps fill a simplex: unbounded coordinates to gaps and back.

    Convex groups of three map through the complements h = π − g, Σ h = π; the others through Σ g = 2π.
    """

    def __init__(self, groups: list[Group]) -> None:
        self.groups = groups
        self.convex, self.size = groups[0].gaps == "convex", len(groups[0].children)
        self.total = math.pi if self.convex else TURN
        self.log_scale = self.n_raw * math.log(self.total)

    @property
    def n_raw(self) -> int:
        return (self.size - 1) * len(self.groups)

    def gaps(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        """The first size − 1 gaps [(size−1)·groups, batch] and ln |∂g/∂raw| [batch]."""
        raw = raw.unflatten(0, (self.size - 1, len(self.groups)))
        log_share = torch.log_softmax(torch.cat([raw, torch.zeros_like(raw[:1])]), 0)
        share = self.total * log_share[:-1].exp()
        gaps = math.pi - share if self.convex else share
        return gaps.flatten(0, 1), log_share.sum((0, 1)) + self.log_scale

    def raw(self, gaps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Unbounded coordinates, ln |∂g/∂raw| [batch], whether gaps [size, groups, batch] are in range."""
        share = (math.pi - gaps if self.convex else gaps) / self.total
        inside = (share > 0).all(0).all(0)
        log_share = share.clamp_min(torch.finfo(share.dtype).eps).log()
        raw = (log_share[:-1] - log_share[-1:]).flatten(0, 1)
        return raw, log_share.sum((0, 1)) + self.log_scale, inside
