"""Layers of the flow: bijections of (torsions on the circle, stiff coordinates on the line).

A layer maps ``(torsions, stiff) -> (torsions, stiff, log_det)`` in ``forward`` (from latent towards molecule)
and back in ``inverse``; either way ``log_det`` [batch] is that of the direction taken.
"""

import math
from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn

from boltzgen.flows import operators
from boltzgen.flows.conditioners import Conditioner, TorsionFeatures

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
        self._least = _width(moved, kept), _width(context)

    def _transformed(self, torsions: Tensor, stiff: Tensor, inverse: bool) -> tuple[Tensor, Tensor, Tensor]:
        if self.conditioner.n_inputs:
            moved, log_det = _coupled(
                self, torsions, stiff, self.kept, self.context, periodic=True, inverse=inverse
            )
        else:
            raw = self.conditioner.bias.view(3 * self.bins + 1, len(self.moved), 1)
            least = self._least[0]
            moved, log_det = operators.spline(torsions, raw, self.moved, math.pi, True, inverse, least)
        return moved, stiff, log_det

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
        self._least = len(folds), _width(moved, kept)

    def _transformed(self, torsions: Tensor, stiff: Tensor, inverse: bool) -> tuple[Tensor, Tensor, Tensor]:
        if self.conditioner.n_inputs:
            moved, log_det = _coupled(
                self, torsions, stiff, self.torsions, self.kept, periodic=False, inverse=inverse
            )
        else:
            raw = self.conditioner.bias[:, None]
            moved, log_det = operators.affine(stiff, raw, self.moved, inverse, self._least[1])
        return torsions, moved, log_det

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
        least = len(self.moved)
        moved, log_det = operators.spline(stiff, self.raw, self.moved, self.bound, False, inverse, least)
        return torsions, moved, log_det

    def forward(self, torsions: Torsions, stiff: Stiff) -> tuple[Torsions, Stiff, LogDet]:
        return self._transformed(torsions, stiff, inverse=False)

    def inverse(self, torsions: Torsions, stiff: Stiff) -> tuple[Torsions, Stiff, LogDet]:
        return self._transformed(torsions, stiff, inverse=True)


def _coupled(
    layer: TorsionCoupling | StiffCoupling,
    torsions: Tensor,
    stiff: Tensor,
    kept: Tensor,
    kept_stiff: Tensor,
    periodic: bool,
    inverse: bool,
) -> tuple[Tensor, Tensor]:
    """The state that a conditioned layer moves, and the log-determinant."""
    features, conditioner = layer.features, layer.conditioner
    return operators.coupling(
        torsions,
        stiff,
        layer.moved,
        kept,
        features.folded,
        features.fold,
        kept_stiff,
        periodic,
        inverse,
        conditioner.bias,
        conditioner.last.weight,
        conditioner.network(),
        least=layer._least,
    )
