"""Weighted particles from a trained flow, and pilots that measure their cost and their weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import monotonic

import torch
from jaxtyping import Float
from torch import Tensor

from boltzgen.models.latent import LatentDensities
from boltzgen.sampling.annealed import Annealing, AnnealingStage
from boltzgen.sampling.thinning import thinned_share

PARTS = 8  # of a pilot
LEAST_THINNED = 10  # pilot particles that must be left for a forecast


class WeightedLatents:
    """Weighted particles z from the model, annealed through ``schedule``; none leaves them as drawn."""

    def __init__(self, densities: LatentDensities, schedule: Sequence[AnnealingStage] = ()) -> None:
        self.densities, self.schedule = densities, tuple(schedule)
        self.annealing = Annealing(densities, wrap=densities.wrap)
        self.acceptances: list[float] = []

    def draw(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Independent particles z [n, dim] and their log weights [n], float64."""
        z = self.densities.sample(n, generator)
        if not self.schedule:
            with torch.no_grad():
                log_base, log_target = self.densities(z)
            return z, _log_weights(log_target.double() - log_base.double())
        state = self.annealing.init(z)
        for stage in self.schedule:
            state, info = self.annealing.step(state, stage, generator)
            self.acceptances.append(info.acceptance)
        state = self.annealing.reweight(state, 1.0)
        return state.z, state.log_weights


@dataclass(frozen=True)
class Pilot:
    """Log weights of some particles of a way to make them, and wall seconds that each took."""

    particles: WeightedLatents
    log_weights: Float[Tensor, " particles"]
    seconds_each: float

    def share(self, ratio: float) -> float:
        """Effective share to expect where ``ratio`` particles are thinned to one."""
        if not bool((self.log_weights > -math.inf).any()):
            return 0.0
        return thinned_share(self.log_weights, len(self.log_weights) / ratio)

    def ratio_for(self, share: float) -> float:
        """The least ratio that is expected to give ``share``; +inf where the pilot is too small to tell."""
        low, high = 1.0, max(len(self.log_weights) / LEAST_THINNED, 1.0)
        if self.share(high) < share:
            return math.inf
        for _ in range(20 if self.share(low) < share else 0):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if self.share(middle) < share else (low, middle)
        return high if low > 1.0 else low

    def parts(self, size: int) -> list[Pilot]:
        """Pilots of ``size`` particles. Small ones see less of the tail: compare pilots of one size."""
        return [replace(self, log_weights=part) for part in self.log_weights.split(size) if len(part) == size]


def run_pilot(particles: WeightedLatents, n: int, generator: torch.Generator, end: float) -> Pilot:
    """``n`` particles in parts, or as many parts as come before ``end``, at least one."""
    began = monotonic()
    parts: list[Tensor] = []
    for _ in range(PARTS):
        parts.append(particles.draw(n // PARTS, generator)[1])
        if monotonic() > end:
            break
    log_weights = torch.cat(parts)
    return Pilot(particles, log_weights, max(monotonic() - began, 1e-9) / len(log_weights))


def _log_weights(difference: Tensor) -> Tensor:
    return torch.where(torch.isfinite(difference), difference, -math.inf)
