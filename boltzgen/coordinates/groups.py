"""Groups of atoms placed about one bond: a torsion that turns them together, gaps that set them apart.

The azimuths of the m children of one centre are T + c_i − a with c_i = g_1 + … + g_{i−1}: a torsion T, the gaps
g_1 … g_m > 0 between neighbours, which go once round (Σ g = 2π), and an anchor a: zero, so that T is the torsion
of the first child, or the mean of the c_i, so that T is the mean torsion of a symmetric rotor. Then passing the
labels on cyclically carries T to T + 2π/m exactly. |∂(azimuths)/∂(T, g_1 … g_{m−1})| = 1 for both anchors.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

GapKind = Literal["none", "pair", "convex", "simplex"]
TURN = 2.0 * math.pi


@dataclass(frozen=True)
class Group:
    """The bent children of ``centre``, in ascending azimuth, and the ranges of their coordinates.

    ``torsion``: what the bond from the axis is ("torsion", "rotor", "amide", …; see build.py), or None at the root, whose
    first child has azimuth zero. ``soft``: whether the torsion lives on the circle, as T = ``low`` + half the
    width + τ/``fold`` with a width of 2π/``fold``; if not, it is one of the stiff coordinates, in the open interval
    of ``width`` above ``low``. ``mean_anchor``: T is the mean torsion of the children.
    ``gaps``: "pair": the one gap of two children lies in (``gap_low``, ``gap_low`` + ``gap_width``);
    ``closure``: the atom across the ring to which the first child is bound as well (see closures.py).
    "convex": three gaps below π, which keeps the handedness of a tetrahedral centre; "simplex": any gaps.
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

    @property
    def centre_of_range(self) -> float:
        """The torsion at τ = 0."""
        return self.low + 0.5 * self.width

    def gap_values(self, azimuths: Tensor) -> Tensor:
        """All m gaps [m, …] of azimuths [m, …], each in [0, 2π)."""
        return torch.remainder(torch.roll(azimuths, -1, 0) - azimuths, TURN)

    def torsion_value(self, azimuths: Tensor) -> Tensor:
        """T [batch] of the children's azimuths [m, batch], not wrapped."""
        if not self.mean_anchor:
            return azimuths[0]
        steps = torch.cumsum(self.gap_values(azimuths)[:-1], 0)
        return azimuths[0] + steps.sum(0) / len(self.children)


class GapGroups(nn.Module):
    """All groups whose gaps fill a simplex, of one kind and size: unbounded coordinates to gaps and back.

    Convex groups of three map through the complements h = π − g, Σ h = π; the others through Σ g = 2π.
    """

    def __init__(self, kind: GapKind, size: int, n_groups: int) -> None:
        super().__init__()
        self.kind, self.size, self.n_groups = kind, size, n_groups
        self.total = math.pi if kind == "convex" else TURN

    @property
    def n_raw(self) -> int:
        return (self.size - 1) * self.n_groups

    def gaps(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        """The first size − 1 gaps [(size−1)·groups, batch] and ln |∂g/∂raw| [batch]."""
        raw = raw.reshape(self.size - 1, self.n_groups, -1)
        log_share = torch.log_softmax(torch.cat([raw, torch.zeros_like(raw[:1])]), 0)
        share = self.total * log_share[:-1].exp()
        log_det = log_share.sum((0, 1)) + self.n_groups * (self.size - 1) * math.log(self.total)
        gaps = math.pi - share if self.kind == "convex" else share
        return gaps.reshape(self.n_raw, -1), log_det

    def raw(self, gaps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Unbounded coordinates, ln |∂g/∂raw| [batch] and whether the gaps [size, groups, batch] are in range."""
        share = (math.pi - gaps if self.kind == "convex" else gaps) / self.total
        inside = (share > 0).all(0).all(0)
        log_share = share.clamp_min(torch.finfo(share.dtype).eps).log()
        log_det = log_share.sum((0, 1)) + self.n_groups * (self.size - 1) * math.log(self.total)
        return (log_share[:-1] - log_share[-1:]).reshape(self.n_raw, -1), log_det, inside
