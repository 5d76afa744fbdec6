"""The density nearest to the target within a trust region around the model.

Nearest in KL among those within bounded KL from the model and bounded loss of entropy (von Klitzing et al.,
"Constrained mass transport", 2025): q* ∝ q^(λ/(1+λ+η)) p̃^(1/(1+λ+η)) with λ and η the multipliers of the two
bounds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from boltzgen.errors import InputError
from boltzgen.objectives.reweighting import BISECTIONS, ModelSamples

LARGEST_MULTIPLIER = 1e6


@dataclass(frozen=True)
class TrustRegionStep:
    """The density q* that a trust region allows, as weights of samples of q.

    divergence: KL(q*‖q). entropy_loss: H(q) − H(q*), nats. multipliers: λ of the bound on the divergence, η
    of that on the entropy; both zero where q* is the target.
    """

    log_weights: Float[Tensor, " samples"]
    divergence: float
    entropy_loss: float
    multipliers: tuple[float, float]


def trust_region_step(
    log_target: Float[Tensor, " samples"],
    log_prob: Float[Tensor, " samples"],
    max_divergence: float,
    max_entropy_loss: float,
) -> TrustRegionStep:
    """q* = argmin KL(q*‖p) with KL(q*‖q) ≤ ``max_divergence`` and H(q) − H(q*) ≤ ``max_entropy_loss``.

    log_target: log p̃ = −u of samples of q; log_prob: their log q. q*/q ∝ exp[(log p̃ − (1+η) log q)/(1+λ+η)].
    The dual −(1+λ+η) log E_q[q*/q] − λε + η(H − γ) is concave with gradients KL − ε in λ and
    H(q) − γ − H(q*) in η: bisection on λ within bisection on η, from the samples' own estimates. Raises
    InputError where no energy is finite.
    """
    target, density = log_target.detach().double(), log_prob.detach().double()
    known = torch.isfinite(density)
    target = torch.where(known & torch.isfinite(target), target, -math.inf)
    if not bool((target > -math.inf).any()):
        raise InputError("No sample of the model has a finite energy; train the model at a hotter start.")
    density = torch.where(known, density, 0.0)
    log_n = math.log(int(known.sum()))
    entropy = -float(density[known].mean())

    def at(lam: float, eta: float) -> TrustRegionStep:
        log_weights = (target - (1.0 + eta) * density) / (1.0 + lam + eta)
        log_ratio = log_weights - torch.logsumexp(log_weights, 0)
        weights = log_ratio.exp()
        log_ratio = torch.where(weights > 0, log_ratio, 0.0) + log_n
        divergence = float((weights * log_ratio).sum())
        loss = entropy + float((weights * (density + log_ratio)).sum())
        return TrustRegionStep(log_weights, divergence, loss, (lam, eta))

    def within_divergence(eta: float) -> TrustRegionStep:
        free = at(0.0, eta)
        if free.divergence <= max_divergence:
            return free
        return _bisected(
            lambda lam: at(lam * (1.0 + eta), eta), lambda step: step.divergence > max_divergence
        )

    free = within_divergence(0.0)
    if free.entropy_loss <= max_entropy_loss:
        return free
    return _bisected(within_divergence, lambda step: step.entropy_loss > max_entropy_loss)


def _bisected(
    step: Callable[[float], TrustRegionStep], beyond: Callable[[TrustRegionStep], bool]
) -> TrustRegionStep:
    """The step of the least multiplier that is not ``beyond`` its bound: bisection of log(1 + multiplier)."""
    low, high = 0.0, math.log1p(LARGEST_MULTIPLIER)
    allowed = step(math.expm1(high))
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        tried = step(math.expm1(middle))
        if beyond(tried):
            low = middle
        else:
            high, allowed = middle, tried
    return allowed


@dataclass(frozen=True)
class TrustRegion:
    """Weights of the density that the trust region allows, at the target's temperature all along."""

    max_divergence: float
    max_entropy_loss: float

    def __call__(self, samples: ModelSamples, inverse_temperature: float) -> Float[Tensor, " samples"]:
        return trust_region_step(
            -samples.reduced_energies, samples.log_prob, self.max_divergence, self.max_entropy_loss
        ).log_weights
