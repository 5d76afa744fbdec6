"""Monotone rational-quadratic splines, on the circle and on the line.

Durkan et al., Neural Spline Flows (2019), eqs. 4–8; on the circle with one slope shared by both ends
of the period: Rezende et al., Normalizing Flows on Tori and Spheres (2020), section 2.2.
Every function here is elementwise and knows no parameters of its own. Parameters stand in the first dimension
and the batch in the last, so that all arithmetic runs over contiguous rows; parameters that a whole batch
shares have a last dimension of length one, and their knots are worked out once.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

MIN_BIN = 1e-3
MIN_SLOPE = 1e-3
# softplus(raw + offset) + MIN_SLOPE is 1 at raw = 0: zero parameters are the identity.
SLOPE_OFFSET = math.log(math.expm1(1.0 - MIN_SLOPE))


def _knots(raw: Tensor, bound: float) -> tuple[Tensor, Tensor]:
    """Left ends and lengths of the bins over [−bound, bound] for unnormalised ``raw`` [bins, ...]."""
    n_bins = raw.shape[0]
    fractions = MIN_BIN + (1.0 - MIN_BIN * n_bins) * torch.softmax(raw, dim=0)
    lengths = 2.0 * bound * fractions
    left = torch.cumsum(lengths, dim=0) - lengths - bound
    return left, lengths


def _select(table: Tensor, index: Tensor) -> Tensor:
    """Entry ``index`` [1, ...] of ``table`` [knots, ...], whose further dimensions may be of length one."""
    return torch.gather(table.expand(-1, *index.shape[1:]), 0, index).squeeze(0)


def _evaluate(
    x: Tensor, raw_widths: Tensor, raw_heights: Tensor, slopes: Tensor, bound: float, inverse: bool
) -> tuple[Tensor, Tensor]:
    x_left, widths = _knots(raw_widths, bound)
    y_left, heights = _knots(raw_heights, bound)
    edges = y_left if inverse else x_left
    index = (x >= edges[1:]).sum(0, keepdim=True)
    x0, w = _select(x_left, index), _select(widths, index)
    y0, h = _select(y_left, index), _select(heights, index)
    d0, d1 = _select(slopes, index), _select(slopes, index + 1)
    s = h / w
    curvature = d0 + d1 - 2.0 * s
    if inverse:
        rise = x - y0
        a = h * (s - d0) + rise * curvature
        b = h * d0 - rise * curvature
        c = -s * rise
        root = (b * b - 4.0 * a * c).clamp_min(0.0).sqrt()
        xi = (2.0 * c / (-b - root)).clamp(0.0, 1.0)
        value = x0 + xi * w
    else:
        xi = ((x - x0) / w).clamp(0.0, 1.0)
        value = y0 + h * (s * xi * xi + d0 * xi * (1.0 - xi)) / (s + curvature * xi * (1.0 - xi))
    mixed = xi * (1.0 - xi)
    denominator = s + curvature * mixed
    numerator = s * s * (d1 * xi * xi + 2.0 * s * mixed + d0 * (1.0 - xi) ** 2)
    log_slope = torch.log(numerator) - 2.0 * torch.log(denominator)
    return value, -log_slope if inverse else log_slope


def wrap(angle: Tensor) -> Tensor:
    """``angle`` moved into [−π, π) by whole turns; the splines' seam is its lower end."""
    return angle - 2.0 * math.pi * torch.floor(angle / (2.0 * math.pi) + 0.5)


def circular_spline(
    x: Float[Tensor, "*batch"],
    raw: Float[Tensor, " parameters *shared"],
    inverse: bool = False,
) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """Monotone map of the circle onto itself, smooth everywhere, followed by a turn (Rezende 2020).

    ``x`` in radians, any turn. ``raw`` holds 3·bins + 1 parameters: widths, heights, slopes (the first is
    that at both ends of the period, −π and π, which the spline fixes) and the turn. Zeros are the identity.
    Returns the value in [−π, π] and log|d value / d x|; ``inverse`` those of the inverse map.
    """
    widths, heights, raw_slopes, turn = torch.split(raw, [*3 * [len(raw) // 3], 1])
    slopes = MIN_SLOPE + torch.nn.functional.softplus(raw_slopes + SLOPE_OFFSET)
    slopes = torch.cat([slopes, slopes[:1]])
    if inverse:
        return _evaluate(wrap(x - turn[0]), widths, heights, slopes, math.pi, inverse)
    value, log_slope = _evaluate(wrap(x), widths, heights, slopes, math.pi, inverse)
    return wrap(value + turn[0]), log_slope


def linear_tail_spline(
    x: Float[Tensor, "*batch"],
    raw: Float[Tensor, " parameters *shared"],
    bound: float,
    inverse: bool = False,
) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """Monotone map of the line: a spline on [−bound, bound], the identity outside.

    ``raw`` holds 3·bins − 1 parameters: widths, heights and the slopes of the inner knots.
    Returns value and log slope, as above.
    """
    bins = (len(raw) + 1) // 3
    widths, heights, raw_slopes = torch.split(raw, [bins, bins, bins - 1])
    inner = MIN_SLOPE + torch.nn.functional.softplus(raw_slopes + SLOPE_OFFSET)
    ones = torch.ones_like(widths[:1])
    slopes = torch.cat([ones, inner, ones])
    value, log_slope = _evaluate(x.clamp(-bound, bound), widths, heights, slopes, bound, inverse)
    outside = x.abs() >= bound
    return torch.where(outside, x, value), torch.where(outside, torch.zeros_like(x), log_slope)
