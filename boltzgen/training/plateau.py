"""What the last batches say: effective samples, reverse KL, and whether these still gain."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from boltzgen.sampling.importance import effective_sample_size

PLATEAU_WINDOWS = 25
PLATEAU_RELATIVE_GAIN = 0.01
PLATEAU_NATS = 0.002


class Plateau:
    """Tells, once, that neither the ESS share rises nor the reverse KL falls any more.

    Means over a third of all that was seen are compared with those over the third before; a change counts as
    none only where two standard errors more are within the bound, since a step's figures are noisy: 1 % of
    the ESS share; 1 % of the KL or two thousandths of a nat.
    """

    def __init__(self) -> None:
        self.seen: list[tuple[float, float]] = []
        self.told = False

    def reached(self, ess_fraction: float, divergence: float) -> bool:
        """Whether these figures of the last batches, after all that were given before, end the search."""
        self.seen.append((ess_fraction, divergence))
        span = max(PLATEAU_WINDOWS, len(self.seen) // 3)
        if self.told or len(self.seen) < 2 * span:
            return False
        before, recent = torch.tensor(self.seen[-2 * span :], dtype=torch.float64).view(2, span, 2)
        error = ((before.var(0) + recent.var(0)) / span).sqrt()
        rise, fall = (recent - before).mean(0) * torch.tensor([1.0, -1.0]) + 2.0 * error
        ess_fraction, divergence = before.mean(0).tolist()
        least_fall = max(PLATEAU_RELATIVE_GAIN * abs(divergence), PLATEAU_NATS)
        self.told = bool(rise <= PLATEAU_RELATIVE_GAIN * ess_fraction and fall <= least_fall)
        return self.told

    def forget(self) -> None:
        """Begin anew with what comes; what was told stays told."""
        self.seen = []

    def state_dict(self) -> dict[str, Any]:
        """All figures seen, and whether a plateau was told of."""
        return {"seen": [list(row) for row in self.seen], "told": self.told}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what ``state_dict`` returned."""
        self.seen = [(ess_fraction, divergence) for ess_fraction, divergence in state["seen"]]
        self.told = state["told"]


def window_summary(window: Sequence[Tensor]) -> tuple[float, float]:
    """ESS share of all samples, and the reverse KL of all but the worst hundredth, where clashes are."""
    log_weights = torch.cat(list(window)).double()
    n = len(log_weights)
    log_weights = log_weights[torch.isfinite(log_weights)]
    if not len(log_weights):
        return 0.0, math.inf
    log_z = float(torch.logsumexp(log_weights, 0)) - math.log(n)
    usual = log_weights.sort().values[max(0, math.ceil(0.01 * n) - (n - len(log_weights))) :]
    return effective_sample_size(log_weights) / n, log_z - float(usual.mean())
