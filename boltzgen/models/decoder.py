"""p(x|c): a molecule's internal coordinates given a vector c, as a bijection of the base for every c.

Given c the torsions are independent, each a circular spline of a uniform angle; given c and all torsions the
stiff coordinates are independent but for the blocks that the base density holds together, each an affine map
and a spline of the base's. What c does not say, basins of a ring among it, the base does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor, nn

from boltzgen.flows.couplings import FlowLayer, StiffCoupling, StiffSpline, TorsionCoupling
from boltzgen.models.model import Internal

if TYPE_CHECKING:
    from boltzgen.coordinates.internal import MolecularCoordinates


class ConditionalDecoder(nn.Module):
    """A bijection of base and molecular internal coordinates, for every vector c of length ``n_context``.

    To the couplings, which are the flow's, c looks like stiff coordinates that none of them moves.
    """

    def __init__(
        self, coordinates: MolecularCoordinates, n_context: int, hidden: int, torsion_bins: int = 8
    ) -> None:
        super().__init__()
        n_torsions, n_stiff = coordinates.n_torsions, coordinates.n_stiff
        self.n_stiff = n_stiff
        folds = coordinates.folds.cpu()
        context = torch.arange(n_stiff, n_stiff + n_context)
        nothing = torch.arange(0)
        self.couplings = nn.ModuleList()
        if n_torsions:
            given = torch.cat([coordinates.base.multimodal_indices.cpu(), context])
            moved = torch.arange(n_torsions)
            self.couplings.append(TorsionCoupling(moved, nothing, given, folds, torsion_bins, hidden))
        if n_stiff:
            self.couplings.append(StiffCoupling(torch.arange(n_stiff), context, folds, hidden))
        self.marginals: FlowLayer | None = StiffSpline(n_stiff) if n_stiff else None

    def forward(
        self, base: Internal, context: Float[Tensor, "batch context"]
    ) -> tuple[Internal, Float[Tensor, " batch"]]:
        """Base to molecular internal coordinates, and log|∂ molecular/∂ base|."""
        torsions, stiff = base.torsions, torch.cat([base.stiff, context], dim=-1)
        log_det = stiff.new_zeros(len(stiff))
        for layer in self.couplings:
            torsions, stiff, change = layer(torsions, stiff)
            log_det = log_det + change
        stiff = stiff[:, : self.n_stiff]
        if self.marginals is not None:
            torsions, stiff, change = self.marginals(torsions, stiff)
            log_det = log_det + change
        return Internal(torsions, stiff), log_det

    def inverse(
        self, internal: Internal, context: Float[Tensor, "batch context"]
    ) -> tuple[Internal, Float[Tensor, " batch"]]:
        """Molecular internal coordinates to base, and log|∂ base/∂ molecular|."""
        torsions, stiff = internal
        log_det = stiff.new_zeros(len(stiff))
        if self.marginals is not None:
            torsions, stiff, log_det = self.marginals.inverse(torsions, stiff)
        stiff = torch.cat([stiff, context], dim=-1)
        for layer in reversed(self.couplings):
            assert isinstance(layer, FlowLayer)
            torsions, stiff, change = layer.inverse(torsions, stiff)
            log_det = log_det + change
        return Internal(torsions, stiff[:, : self.n_stiff]), log_det
