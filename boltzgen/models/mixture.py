"""A Gaussian mixture fitted to points by expectation–maximisation."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

MOST_POINTS = 8192
ITERATIONS = 60
FLOOR = 1e-3  # of the points' mean variance, added to every covariance
LEAST_WEIGHT = 1e-12


def fit_mixture(
    points: Float[Tensor, "points d"], n_components: int, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Weights [k], means [k, d] and lower-triangular factors [k, d, d] of the covariances, float64.

    Dempster, Laird and Rubin (1977), from means at random points. Components that are left with fewer than
    d + 1 points share the overall covariance; those with none keep a weight of 1e-12.
    """
    chosen = torch.randperm(len(points), generator=generator, device=points.device)[:MOST_POINTS]
    x = points.detach()[chosen].double()
    n, d = x.shape
    centred = x - x.mean(0)
    overall = centred.T @ centred / n
    floor = FLOOR * torch.eye(d, dtype=x.dtype, device=x.device) * overall.diagonal().mean().clamp_min(1e-12)
    means = x[torch.arange(n_components, device=x.device) % n]
    factors = torch.linalg.cholesky(overall + floor).repeat(n_components, 1, 1)
    weights = torch.full((n_components,), 1.0 / n_components, dtype=x.dtype, device=x.device)
    for _ in range(ITERATIONS):
        shares = torch.softmax(weights.log() + _log_densities(x, means, factors), dim=1)
        masses = shares.sum(0)
        known = masses.clamp_min(1e-9)
        means = torch.where(masses[:, None] > 1e-9, shares.T @ x / known[:, None], means)
        offsets = x[None] - means[:, None]
        covariances = (shares.T[:, :, None] * offsets).transpose(1, 2) @ offsets / known[:, None, None]
        few = (masses < d + 1)[:, None, None]
        factors = torch.linalg.cholesky(torch.where(few, overall, covariances) + floor)
        weights = (masses / n).clamp_min(LEAST_WEIGHT)
    return weights / weights.sum(), means, factors


def _log_densities(x: Tensor, means: Tensor, factors: Tensor) -> Float[Tensor, "points k"]:
    """ln density of each point in each Gaussian."""
    offsets = (x[None] - means[:, None]).transpose(1, 2)
    scaled = torch.linalg.solve_triangular(factors, offsets, upper=False)
    log_det = factors.diagonal(dim1=1, dim2=2).log().sum(1)
    constant = 0.5 * x.shape[1] * math.log(2.0 * math.pi)
    return (-0.5 * scaled.square().sum(1) - log_det[:, None] - constant).T
