"""Importance weights log w = −u(x) − log q(x) of independent samples x ~ q, and estimates made with them.

Weights are unnormalised: E_q[w] = Z in the measure that log q is a density of. All sums run in float64. A
sample of zero weight (log w = −inf, a clash) stays in every count: leaving it out would bias log Z.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from boltzgen.errors import InputError

MAX_PARETO_K = 0.7  # Vehtari et al. 2024: above it, importance sampling estimates are not reliable


class Estimate(NamedTuple):
    """A value and its standard error, in the same units."""

    value: float
    stderr: float


def log_importance_weights(
    reduced_energies: Float[Tensor, " samples"], log_prob: Float[Tensor, " samples"]
) -> Float[Tensor, " samples"]:
    """−u − log q in float64; log w = −inf where the energy or the density is not finite."""
    log_weights = -reduced_energies.detach().double() - log_prob.detach().double()
    return torch.where(torch.isfinite(log_weights), log_weights, -math.inf)


def normalized_weights(log_weights: Float[Tensor, " samples"]) -> Float[Tensor, " samples"]:
    """Weights that sum to one."""
    return torch.softmax(_checked(log_weights), dim=0)


def effective_sample_size(log_weights: Float[Tensor, " samples"]) -> float:
    """Kish's (Σw)² / Σw², no weight clipped: between 1 and the number of samples."""
    log_weights = _checked(log_weights)
    log_weights = log_weights - log_weights.max()  # the size does not depend on it, and rounding does
    return math.exp(2 * torch.logsumexp(log_weights, 0) - torch.logsumexp(2 * log_weights, 0))


def clipped_effective_sample_size(log_weights: Float[Tensor, " samples"], fraction: float = 1e-4) -> float:
    """Kish's size after the top ``fraction`` of weights is lowered to the least of them.

    The form of published figures (Midgley et al. 2023; Schopmans and Friederich 2025, with 1e7 samples). With
    fewer than 1 / ``fraction`` samples nothing is clipped.
    """
    log_weights = _checked(log_weights)
    n_clipped = int(log_weights.numel() * fraction)
    if n_clipped == 0:
        return effective_sample_size(log_weights)
    return effective_sample_size(log_weights.clamp(max=log_weights.topk(n_clipped).values[-1].item()))


def forward_effective_sample_size_fraction(log_weights: Float[Tensor, " frames"]) -> float:
    """1 / (E_p[w] E_p[1/w]) from log weights of frames x ~ p: small where q misses what p holds.

    A frame that q cannot produce (log w = +inf) makes it zero.
    """
    log_weights = log_weights.detach().double()
    if not bool((log_weights > -math.inf).all()):
        raise InputError("Reference frames must have finite energies; some of those given have none.")
    n = log_weights.numel()
    if bool(torch.isinf(log_weights).any()):
        return 0.0
    log_weights = log_weights - log_weights.max()
    return math.exp(2 * math.log(n) - torch.logsumexp(log_weights, 0) - torch.logsumexp(-log_weights, 0))


def log_mean_weight(log_weights: Float[Tensor, " samples"]) -> Estimate:
    """log Z = log E_q[w] with its standard error by the delta method, sd(w) / (√n mean(w))."""
    log_weights = _checked(log_weights)
    n = log_weights.numel()
    value = float(torch.logsumexp(log_weights, 0)) - math.log(n)
    if n == 1:
        return Estimate(value, math.inf)
    relative_variance = max(n / effective_sample_size(log_weights) - 1.0, 0.0)
    return Estimate(value, math.sqrt(relative_variance / (n - 1)))


def weighted_mean(values: Float[Tensor, " samples"], log_weights: Float[Tensor, " samples"]) -> Estimate:
    """Self-normalised mean Σ w f / Σ w with its delta-method standard error √(Σ w̄² (f − mean)²).

    Values of samples without weight do not matter (a clash may have an infinite energy).
    """
    weights = normalized_weights(log_weights)
    values = torch.where(weights > 0, values.detach().double(), 0.0)
    n = values.numel()
    mean = torch.dot(weights, values)
    if n == 1:
        return Estimate(float(mean), math.inf)
    variance = (weights.square() * (values - mean).square()).sum() * n / (n - 1)
    return Estimate(float(mean), float(variance.sqrt()))


def pareto_k(log_weights: Float[Tensor, " samples"]) -> float:
    """Shape k̂ of the generalised Pareto tail of the weights (Vehtari et al., JMLR 25:72, 2024).

    Below 0.7 weighted estimates are reliable. The tail is the min(n/5, 3√n) largest weights. A tail without
    spread has all moments, k̂ = 0; fewer than 25 samples tell nothing, k̂ = +inf.
    """
    log_weights = _checked(log_weights)
    n = log_weights.numel()
    n_tail = math.ceil(min(0.2 * n, 3.0 * math.sqrt(n)))
    if n < 25:
        return math.inf
    largest = log_weights.topk(n_tail + 1).values.flip(0)
    scaled = (largest - largest[-1]).exp()
    excess = scaled[1:] - scaled[0]
    if float(excess[-1]) <= 1e-12:
        return 0.0
    return _generalized_pareto_shape(excess.clamp(min=1e-300))


def systematic_resample(
    log_weights: Float[Tensor, " samples"], n: int, generator: torch.Generator | None = None
) -> Int[Tensor, " n"]:
    """``n`` indices, each sample i taken ⌊n w̄_i⌋ or ⌈n w̄_i⌉ times (one uniform number; Kitagawa 1996)."""
    if n < 1:
        raise InputError(f"{n} resampled configurations were asked for; ask for at least one.")
    weights = normalized_weights(log_weights)
    device = generator.device if generator is not None else weights.device
    start = torch.rand((), generator=generator, dtype=torch.float64, device=device).to(weights.device)
    points = (torch.arange(n, dtype=torch.float64, device=weights.device) + start) / n
    cumulative = weights.cumsum(0)
    indices = torch.searchsorted(cumulative / cumulative[-1], points, right=True)
    return indices.clamp(max=int(torch.nonzero(weights)[-1]))


@dataclass(frozen=True)
class WeightStatistics:
    """What the weights of samples say; it stays with what is resampled from them.

    ``log_z`` is None and ``pareto_k`` nan where the frames were not drawn from a known density.
    """

    n_samples: int
    effective_sample_size: float
    clipped_effective_sample_size: float
    pareto_k: float
    log_z: Estimate | None

    def reweighted(self, old: Tensor, new: Tensor, every: Tensor) -> WeightStatistics:
        """The statistics of the same samples, or some of them, with log weights ``new`` in place of ``old``.

        Parameters
        ----------
        old, new
            Log weights [samples] before and after, of samples that were chosen whatever their weights are.
        every
            Those before, of all samples that these statistics are of.

        Returns
        -------
        WeightStatistics
            Samples that resemble each other stay worth as much less than their number. ln Z is that of the
            new weights where the old ones gave the old ln Z, and else the old one and the weights' ratio.
        """
        independence = min(1.0, self.effective_sample_size / effective_sample_size(every))
        log_z = self.log_z
        if log_z is not None and abs(log_mean_weight(every).value - log_z.value) < 1e-6:
            log_z = log_mean_weight(new)
        elif log_z is not None:
            influence = normalized_weights(new) - normalized_weights(old)
            error = math.hypot(log_z.stderr, float(influence.square().sum().sqrt()))
            ratio = float(torch.logsumexp(_checked(new), 0) - torch.logsumexp(_checked(old), 0))
            log_z = Estimate(log_z.value + ratio, error)
        return WeightStatistics(
            new.numel(),
            independence * effective_sample_size(new),
            independence * clipped_effective_sample_size(new),
            pareto_k(new),
            log_z,
        )

    @classmethod
    def of(cls, log_weights: Tensor) -> WeightStatistics:
        """Of the log weights [samples] of independent samples."""
        return cls(
            log_weights.numel(),
            effective_sample_size(log_weights),
            clipped_effective_sample_size(log_weights),
            pareto_k(log_weights),
            log_mean_weight(log_weights),
        )


def _generalized_pareto_shape(excess: Tensor) -> float:
    """Zhang and Stephens, Technometrics 51, 316 (2009), with Vehtari's weak prior towards 1/2.

    ``excess`` ascends.
    """
    n = excess.numel()
    n_grid = 30 + int(math.sqrt(n))
    grid = (
        1.0 - (n_grid / (torch.arange(1, n_grid + 1, dtype=torch.float64, device=excess.device) - 0.5)).sqrt()
    )
    quartile = excess[int(n / 4 + 0.5) - 1]
    theta = 1.0 / excess[-1] + grid / (3.0 * quartile)
    shape = torch.log1p(-theta[:, None] * excess).mean(dim=1)
    profile = n * (torch.log(-theta / shape) - shape - 1.0)
    theta_mean = torch.dot(torch.softmax(profile, 0), theta)
    k = float(torch.log1p(-theta_mean * excess).mean())
    return (n * k + 10 * 0.5) / (n + 10)


def _checked(log_weights: Tensor) -> Tensor:
    """Float64 log weights of which at least one is finite, none NaN or +inf."""
    log_weights = log_weights.detach().double()
    if log_weights.ndim != 1 or log_weights.numel() == 0:
        raise InputError(f"Log weights of shape {tuple(log_weights.shape)} were given; give one per sample.")
    if not bool((log_weights < math.inf).all()):
        raise InputError("Log weights must be finite or −inf; some of those given are NaN or +inf.")
    if not bool((log_weights > -math.inf).any()):
        raise InputError(
            "Every sample has zero weight, so nothing can be estimated; train the model further."
        )
    return log_weights
