"""How reverse KL treats the worst samples of a batch: clashes have energies of any size."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor


@dataclass(frozen=True)
class Outliers:
    """Treatment of a batch's worst samples.

    Attributes
    ----------
    drop_fraction
        Share of the batch, the samples of least weight, that does not train. Samples whose action is not
        finite never do.
    log_cut
        Samples whose action lies more than this many nats above the batch's median train with its logarithm.
    """

    drop_fraction: float = 0.01
    log_cut: float = math.inf

    def kept(self, log_weights: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        """1 for the samples that train, 0 for the worst ``drop_fraction`` and for those not finite."""
        n_dropped = math.ceil(self.drop_fraction * len(log_weights))
        finite = torch.isfinite(log_weights)
        ranked = torch.where(finite, log_weights, -torch.inf)
        kept = torch.ones_like(log_weights)
        if n_dropped:
            kept = kept.index_fill(0, ranked.topk(n_dropped, largest=False).indices, 0.0)
        return torch.where(finite, kept, torch.zeros_like(kept))

    def trained_action(
        self, action: Float[Tensor, " batch"], kept: Float[Tensor, " batch"]
    ) -> Float[Tensor, " batch"]:
        """``action`` of the samples ``kept`` as it trains: its logarithm beyond a bound; zero for others.

        From c, ``log_cut`` nats above the batch's median, on, A is c + ln(1 + A − c). A clash then still
        pulls the parameters away from it, but not hundreds of times as hard as the samples that matter, which
        would leave every step to a few clashes. Where q = p no sample lies beyond, and the gradient is zero
        as without a cut.
        """
        usual = torch.where(kept > 0, action.detach(), torch.nan).nanmedian()
        bound = usual + self.log_cut
        finite = torch.where(kept > 0, action, torch.zeros_like(action))
        excess = (finite - bound).clamp_min(0.0)
        return finite - excess + torch.log1p(excess)


def only_where(used: Bool[Tensor, " batch"], rows: Tensor) -> Tensor:
    """``rows`` [batch, …] of the samples that are ``used``, and zeros for others, whatever these are."""
    return torch.where(used.view(-1, *[1] * (rows.ndim - 1)), rows, torch.zeros_like(rows))


DEFAULT_OUTLIERS = Outliers()
