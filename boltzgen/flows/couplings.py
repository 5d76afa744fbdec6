"""Layers of the flow: bijections of (torsions on the circle, stiff coordinates on the line).

A layer maps ``(torsions, stiff) -> (torsions, stiff, log_det)`` in ``forward`` (from latent towards molecule)
and back in ``inverse``; either way ``log_det`` [batch] is that of the direction taken.
"""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn

from boltzgen.flows.conditioners import Conditioner, TorsionFeatures
from boltzgen.flows.splines import circular_spline, linear_tail_spline, wrap

Torsions = Float[Tensor, "batch torsions"]
Stiff = Float[Tensor, "batch stiff"]
LogDet = Float[Tensor, " batch"]

MAX_LOG_SCALE = 3.0


class FlowLayer(nn.Module, ABC):
    """One bijection of the flow."""

    @abstractmethod
    def forward(self, torsions: Torsions, stiff: Stiff) -> tuple[Torsions, Stiff, LogDet]:
        """Towards the molecule."""

    @abstractmethod
    def inverse(self, torsions: Torsions, stiff: Stiff) -> tuple[Torsions, Stiff, LogDet]:
        """Towards the latent space."""


class TorsionCoupling(FlowLayer):
    """Circular splines on some torsions, given the others and chosen stiff coordinates.

    Each spline is followed by a learned turn (Rezende 2020), so that no point of the circle is special.
    """

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

    def _spline_parameters(self, torsions: Tensor, stiff: Tensor) -> tuple[Tensor, ...]:
        features = torch.cat([self.features(torsions[:, self.kept]), stiff[:, self.context]], dim=-1)
        raw = self.conditioner(features)
        raw = raw.view(3 * self.bins + 1, len(self.moved), raw.shape[1])
        return torch.split(raw, [self.bins, self.bins, self.bins, 1])

    def forward(self, torsions: Torsions, stiff: Stiff) -> tuple[Torsions, Stiff, LogDet]:
        widths, heights, slopes, turn = self._spline_parameters(torsions, stiff)
        value, log_slope = circular_spline(torsions[:, self.moved].T, widths, heights, slopes)
        value = wrap(value + turn[0])
        return torsions.index_copy(1, self.moved, value.T), stiff, log_slope.sum(0)

    def inverse(self, torsions: Torsions, stiff: Stiff) -> tuple[Torsions, Stiff, LogDet]:
        widths, heights, slopes, turn = self._spline_parameters(torsions, stiff)
        value = torsions[:, self.moved].T - turn[0]
        value, log_slope = circular_spline(value, widths, heights, slopes, inverse=True)
        return torsions.index_copy(1, self.moved, value.T), stiff, log_slope.sum(0)


class StiffCoupling(FlowLayer):
    """Affine maps of some stiff coordinates, given all torsions and the other stiff coordinates."""

    moved: Tensor
    kept: Tensor

    def __init__(self, moved: Tensor, kept: Tensor, folds: Tensor, hidden: int) -> None:
        super().__init__()
        self.register_buffer("moved", moved, persistent=False)
        self.register_buffer("kept", kept, persistent=False)
        self.features = TorsionFeatures(folds, physical=True)
        self.conditioner = Conditioner(self.features.n_features + len(kept), 2 * len(moved), hidden)

    def _shift_and_scale(self, torsions: Tensor, stiff: Tensor) -> tuple[Tensor, Tensor]:
        features = torch.cat([self.features(torsions), stiff[:, self.kept]], dim=-1)
        shift, raw_scale = self.conditioner(features).chunk(2)
        return shift, MAX_LOG_SCALE * torch.tanh(raw_scale / MAX_LOG_SCALE)

    def forward(self, torsions: Torsions, stiff: Stiff) -> tuple[Torsions, Stiff, LogDet]:
        shift, log_scale = self._shift_and_scale(torsions, stiff)
        value = stiff[:, self.moved].T * log_scale.exp() + shift
        return torsions, stiff.index_copy(1, self.moved, value.T), log_scale.sum(0)

    def inverse(self, torsions: Torsions, stiff: Stiff) -> tuple[Torsions, Stiff, LogDet]:
        shift, log_scale = self._shift_and_scale(torsions, stiff)
        value = (stiff[:, self.moved].T - shift) * torch.exp(-log_scale)
        return torsions, stiff.index_copy(1, self.moved, value.T), -log_scale.sum(0)


class StiffSpline(FlowLayer):
    """One learned spline a stiff coordinate, the same for every sample: the marginals' anharmonicity."""

    def __init__(self, n_stiff: int, bins: int = 8, bound: float = 6.0) -> None:
        super().__init__()
        self.bins, self.bound = bins, bound
        self.raw = nn.Parameter(torch.zeros(3 * bins - 1, n_stiff, 1))

    def _apply_spline(self, torsions: Tensor, stiff: Tensor, inverse: bool) -> tuple[Tensor, Tensor, Tensor]:
        widths, heights, slopes = torch.split(self.raw, [self.bins, self.bins, self.bins - 1])
        value, log_slope = linear_tail_spline(stiff.T, widths, heights, slopes, self.bound, inverse)
        return torsions, value.T, log_slope.sum(0)

    def forward(self, torsions: Torsions, stiff: Stiff) -> tuple[Torsions, Stiff, LogDet]:
        return self._apply_spline(torsions, stiff, inverse=False)

    def inverse(self, torsions: Torsions, stiff: Stiff) -> tuple[Torsions, Stiff, LogDet]:
        return self._apply_spline(torsions, stiff, inverse=True)
