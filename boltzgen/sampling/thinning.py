"""Thinning: n of N weighted samples stand for all of them, without bias.

A sample is kept with probability min(1, w/c) and carries the weight max(w, c) from then on; c is such that n
are expected. Heavy samples stay as they are, light ones become equal: the share of effective samples rises,
what all N tell together stays. Exactly n are kept by systematic sampling, for the least variance of the
weights that any choice of n has (Fearnhead and Clifford, J. R. Statist. Soc. B 65, 887 (2003), section 3.3).
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from boltzgen.errors import InputError

BISECTIONS = 100


def log_threshold(log_weights: Float[Tensor, " samples"], n: float) -> float:
    """ln c with Σ min(1, w/c) = ``n``; −inf where no more than ``n`` samples have weight."""
    log_weights = log_weights[log_weights > -math.inf].double()
    if len(log_weights) <= n:
        return -math.inf
    low = float(log_weights.min())
    high = float(torch.logsumexp(log_weights, 0)) - math.log(n)  # Σ min(1, w/c) ≤ Σ w/c
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        too_many = float((log_weights - middle).clamp(max=0.0).exp().sum()) > n
        low, high = (middle, high) if too_many else (low, middle)
    return high


def thinned_share(log_weights: Float[Tensor, " samples"], n: float) -> float:
    """Share of effective samples, (Σw)² / (n Σ w max(w, c)), to expect of thinning to ``n`` or fewer."""
    largest = float(log_weights.max())
    w, log_c = (log_weights.double() - largest).exp(), log_threshold(log_weights, n)
    return float(w.sum().square() / (n * (w * w.clamp(min=math.exp(log_c - largest))).sum()))


def thin(
    log_weights: Float[Tensor, " samples"], n: int, generator: torch.Generator | None = None
) -> tuple[Int[Tensor, " n"], Float[Tensor, " n"]]:
    """Indices of ``n`` samples and their new log weights, whose sum has the sum of all as its mean.

    The same weighted sum of any function of the samples is unbiased too, whatever the weights are. All are
    returned where there are no more than ``n``; samples without weight come in only where others are lacking.
    """
    if n < 1:
        raise InputError(f"{n} of {len(log_weights)} samples were to be kept; keep at least one.")
    if len(log_weights) <= n:
        return torch.arange(len(log_weights), device=log_weights.device), log_weights.double()
    log_weights = log_weights.double()
    log_c = log_threshold(log_weights, n)
    certain = log_weights >= log_c if log_c > -math.inf else log_weights > -math.inf
    rest = torch.nonzero(~certain).flatten()
    missing = n - (len(log_weights) - len(rest))
    chances = (log_weights[rest] - log_c).exp() if log_c > -math.inf else torch.ones_like(log_weights[rest])
    cumulative = chances.cumsum(0)
    device = generator.device if generator is not None else log_weights.device
    start = torch.rand((), generator=generator, dtype=torch.float64, device=device).to(log_weights.device)
    points = (torch.arange(missing, dtype=torch.float64, device=log_weights.device) + start) / max(missing, 1)
    chosen = torch.searchsorted(cumulative, points * cumulative[-1], right=True).clamp(max=len(rest) - 1)
    kept = torch.cat((torch.nonzero(certain).flatten(), rest[chosen])).sort().values
    return kept, log_weights[kept].clamp(min=log_c).where(log_weights[kept] > -math.inf, -math.inf)
