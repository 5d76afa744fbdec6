"""Layers of the flow: bijections of (torsions on the circle, stiff coordinates on the line).

A layer maps ``(torsions, stiff) -> (torsions, stiff, log_det)`` in ``forward`` (from latent towards molecule)
and back in ``inverse``; either way ``log_det`` [batch] is that of the direction taken.
"""

import math
from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn

from boltzgen.flows import native
from boltzgen.flows.conditioners import MAX_LOG_SCALE, Conditioner, TorsionFeatures
from boltzgen.flows.splines import circular_spline, linear_tail_spline

Torsions = Float[Tensor, "batch torsions"]
Stiff = Float[Tensor, "batch stiff"]
LogDet = Float[Tensor, " batch"]


class FlowLayer(nn.Module, ABC):
    """One bijection of the flow."""

    @abstractmethod
    def forward(self, torsions: Torsions, stiff: Stiff) -> tuple[Torsions, Stiff, LogDet]:
        """Towards the molecule."""

    @abstractmethod
    def inverse(self, torsions: Torsions, stiff: Stiff) -> tuple[Torsions, Stiff, LogDet]:
        """Towards the latent space."""


def _width(*indices: Tensor) -> int:
    """The fewest columns that hold all these indices."""
    return max((int(index.max()) + 1 for index in indices if len(index)), default=0)


class TorsionCoupling(FlowLayer):
    """Circular splines on some torsions, given the others and chosen stiff coordinates."""

    moved: Tensor
    kept: Tensor
    context: Tensor

    def __init__(
        self, moved: Tensor, kept: Tensor, context: Tensor, folds: Tensor, bins: int, hidden: int
    ) -> None:
        super().__init__()
        self.bins = bins
        self.register_buffer("moved", moved, persistent=False)
        self.register_buffer("kept", kept, persistent=False)
        self.register_buffer("context", context, persistent=False)
        self.features = TorsionFeatures(folds[kept], physical=False)
        n_inputs = self.features.n_features + len(context)
        self.conditioner = Conditioner(n_inputs, len(moved) * (3 * bins + 1), hidden)
        self._widths = _width(moved, kept), _width(context)

    def _transformed(self, torsions: Tensor, stiff: Tensor, inverse: bool) -> tuple[Tensor, Tensor, Tensor]:
        fused = native.serves(torsions, stiff, self.conditioner.bias, *self._widths)
        raw = _conditioned(self.conditioner, self.features, self.kept, self.context, torsions, stiff, fused)
        raw = raw.view(3 * self.bins + 1, len(self.moved), raw.shape[1])
        if fused:
            value, log_det = native.spline(torsions, raw, self.moved, math.pi, True, inverse)
            return value, stiff, log_det
        value, log_slope = circular_spline(torsions[:, self.moved].T, raw, inverse)
        return torsions.index_copy(1, self.moved, value.T), stiff, log_slope.sum(0)

    def forward(self, torsions: Torsions, stiff: Stiff) -> tuple[Torsions, Stiff, LogDet]:
        return self._transformed(torsions, stiff, inverse=False)

    def inverse(self, torsions: Torsions, stiff: Stiff) -> tuple[Torsions, Stiff, LogDet]:
        return self._transformed(torsions, stiff, inverse=True)


class StiffCoupling(FlowLayer):
    """Affine maps of some stiff coordinates, given all torsions and the other stiff coordinates."""

    moved: Tensor
    kept: Tensor
    torsions: Tensor

    def __init__(self, moved: Tensor, kept: Tensor, folds: Tensor, hidden: int) -> None:
        super().__init__()
        self.register_buffer("moved", moved, persistent=False)
        self.register_buffer("kept", kept, persistent=False)
        self.register_buffer("torsions", torch.arange(len(folds)), persistent=False)
        self.features = TorsionFeatures(folds, physical=True)
        self.conditioner = Conditioner(self.features.n_features + len(kept), 2 * len(moved), hidden)
        self._widths = len(folds), _width(moved, kept)

    def _transformed(self, torsions: Tensor, stiff: Tensor, inverse: bool) -> tuple[Tensor, Tensor, Tensor]:
        fused = native.serves(torsions, stiff, self.conditioner.bias, *self._widths)
        raw = _conditioned(self.conditioner, self.features, self.torsions, self.kept, torsions, stiff, fused)
        if fused:
            value, log_det = native.affine(stiff, raw, self.moved, inverse)
            return torsions, value, log_det
        shift, raw_scale = raw.chunk(2)
        log_scale = MAX_LOG_SCALE * torch.tanh(raw_scale / MAX_LOG_SCALE)
        x = stiff[:, self.moved].T
        value = (x - shift) * torch.exp(-log_scale) if inverse else x * log_scale.exp() + shift
        log_det = (-log_scale if inverse else log_scale).expand_as(x).sum(0)
        return torsions, stiff.index_copy(1, self.moved, value.T), log_det

    def forward(self, torsions: Torsions, stiff: Stiff) -> tuple[Torsions, Stiff, LogDet]:
        return self._transformed(torsions, stiff, inverse=False)

    def inverse(self, torsions: Torsions, stiff: Stiff) -> tuple[Torsions, Stiff, LogDet]:
        return self._transformed(torsions, stiff, inverse=True)


class StiffSpline(FlowLayer):
    """One learned spline a stiff coordinate, the same for every sample: the marginals' anharmonicity."""

    moved: Tensor

    def __init__(self, n_stiff: int, bins: int = 8, bound: float = 6.0) -> None:
        super().__init__()
        self.bound = bound
        self.register_buffer("moved", torch.arange(n_stiff), persistent=False)
        self.raw = nn.Parameter(torch.zeros(3 * bins - 1, n_stiff, 1))

    def _transformed(self, torsions: Tensor, stiff: Tensor, inverse: bool) -> tuple[Tensor, Tensor, Tensor]:
        if native.serves(torsions, stiff, self.raw, 0, len(self.moved)):
            value, log_det = native.spline(stiff, self.raw, self.moved, self.bound, False, inverse)
            return torsions, value, log_det
        value, log_slope = linear_tail_spline(stiff.T, self.raw, self.bound, inverse)
        return torsions, value.T, log_slope.sum(0)

    def forward(self, torsions: Torsions, stiff: Stiff) -> tuple[Torsions, Stiff, LogDet]:
        return self._transformed(torsions, stiff, inverse=False)

    def inverse(self, torsions: Torsions, stiff: Stiff) -> tuple[Torsions, Stiff, LogDet]:
        return self._transformed(torsions, stiff, inverse=True)


def _conditioned(
    conditioner: Conditioner,
    features: TorsionFeatures,
    kept: Tensor,
    kept_stiff: Tensor,
    torsions: Tensor,
    stiff: Tensor,
    fused: bool,
) -> Tensor:
    """Parameters [outputs, batch or 1] that a conditioner makes of kept torsions and stiff coordinates."""
    if fused and conditioner.n_inputs:
        return native.conditioned(conditioner, features, kept, kept_stiff, torsions, stiff)
    return conditioner(torch.cat([features(torsions[:, kept]), stiff[:, kept_stiff]], dim=-1))
