"""Annealed: forward KL on the model's own samples, reweighted to a density that lies a little further on.

A model trained hot, where barriers are low, holds every basin. Its samples reweighted to the next lower
temperature are training data there, and so on down a geometric ladder (Schopmans and Friederich,
"Temperature-annealed Boltzmann generators", 2025). Weights that few samples own would teach those samples by
heart; they are tempered, so that a round goes part of the way (Koblents and Míguez 2015). The variant with a
trust region asks instead for the density nearest to the target, in KL, among those within bounded KL from the
model and bounded loss of entropy (von Klitzing et al., "Constrained mass transport", 2025):
q* ∝ q^(λ/(1+λ+η)) p̃^(1/(1+λ+η)) with λ and η the multipliers of the two bounds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from boltzgen.errors import InputError
from boltzgen.models.flow import FlowModel
from boltzgen.models.latent import EnergyTarget
from boltzgen.models.model import Internal
from boltzgen.sampling.importance import effective_sample_size, log_importance_weights, systematic_resample

CHUNK = 4096
BISECTIONS = 30
LARGEST_MULTIPLIER = 1e6


@dataclass(frozen=True)
class ModelSamples:
    """Samples of a model: internal coordinates, reduced energies u and log q of positions."""

    frames: Internal
    reduced_energies: Float[Tensor, " samples"]
    log_prob: Float[Tensor, " samples"]

    def log_weights(self, inverse_temperature: float = 1.0) -> Float[Tensor, " samples"]:
        """−βu − log q, float64, −inf where the energy is not finite."""
        return log_importance_weights(inverse_temperature * self.reduced_energies, self.log_prob)


@torch.no_grad()
def model_samples(
    model: FlowModel, target: EnergyTarget, n: int, generator: torch.Generator | None = None
) -> ModelSamples:
    """``n`` samples of the model, in chunks."""
    torsions, stiff, energies, log_prob = [], [], [], []
    for first in range(0, n, CHUNK):
        internal, x, log_q = model.decode(model.sample_latent(min(CHUNK, n - first), generator))
        torsions.append(internal.torsions)
        stiff.append(internal.stiff)
        energies.append(target.reduced_energy(x))
        log_prob.append(log_q)
    return ModelSamples(
        Internal(torch.cat(torsions), torch.cat(stiff)), torch.cat(energies), torch.cat(log_prob)
    )


def resampled(
    frames: Internal, log_weights: Float[Tensor, " samples"], generator: torch.Generator | None = None
) -> Internal:
    """As many frames as given, of equal weight, each taken in proportion to its weight."""
    chosen: Int[Tensor, " samples"] = systematic_resample(log_weights, len(log_weights), generator)
    return Internal(frames.torsions[chosen], frames.stiff[chosen])


def tempered(log_weights: Float[Tensor, " samples"], effective_share: float) -> Float[Tensor, " samples"]:
    """α log w with the largest α ≤ 1 that leaves Kish's size at least ``effective_share`` of the samples.

    Samples of q then stand for q^(1−α) p̃^α. Those without weight keep none; where too few have any, α is next
    to 0 and these count alike.
    """
    least = effective_share * len(log_weights)
    if effective_sample_size(log_weights) >= least:
        return log_weights
    low, high = 0.0, 1.0
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if effective_sample_size(middle * log_weights) >= least else (low, middle)
    return max(low, 0.5**BISECTIONS) * log_weights


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
