"""Spline values against zuko's, with the same knots and slopes."""

import math

import pytest
import torch
from zuko.transforms import MonotonicRQSTransform

from boltzgen.flows.splines import MIN_BIN, MIN_SLOPE, circular_spline, linear_tail_spline

BINS, N = 8, 400


def knots(raw: torch.Tensor, bound: float) -> torch.Tensor:
    fractions = MIN_BIN + (1 - MIN_BIN * BINS) * torch.softmax(raw, -1)
    ends = torch.cumsum(torch.cat([torch.zeros_like(fractions[..., :1]), fractions], -1), -1)
    return bound * (2 * ends - 1)


def slopes(raw: torch.Tensor) -> torch.Tensor:
    return MIN_SLOPE + torch.nn.functional.softplus(raw + math.log(math.expm1(1 - MIN_SLOPE)))


def zuko_spline(raw_widths, raw_heights, derivatives, bound):
    transform = MonotonicRQSTransform(raw_widths, raw_heights, raw_widths[..., 1:], bound=bound)
    transform.horizontal, transform.vertical = knots(raw_widths, bound), knots(raw_heights, bound)
    transform.derivatives = derivatives
    return transform


def random_parameters(n_slopes: int) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(11)
    return tuple(
        2 * torch.randn(N, k, generator=generator, dtype=torch.float64) for k in (BINS, BINS, n_slopes)
    )


def test_circular_spline_equals_zuko_within_the_period():
    widths, heights, raw = random_parameters(BINS)
    x = torch.linspace(-math.pi + 1e-6, math.pi - 1e-6, N, dtype=torch.float64)
    closed = torch.cat([raw, raw[:, :1]], -1)
    expected, expected_log_slope = zuko_spline(widths, heights, slopes(closed), math.pi).call_and_ladj(x)
    value, log_slope = circular_spline(x, torch.cat([widths, heights, raw, torch.zeros(N, 1)], -1).T)
    torch.testing.assert_close(value, expected, atol=1e-10, rtol=0)
    torch.testing.assert_close(log_slope, expected_log_slope, atol=1e-9, rtol=0)


def test_linear_tail_spline_equals_zuko_inside_and_outside():
    widths, heights, raw = random_parameters(BINS - 1)
    x = torch.linspace(-9, 9, N, dtype=torch.float64)
    one = torch.ones(N, 1, dtype=torch.float64)
    expected = zuko_spline(widths, heights, torch.cat([one, slopes(raw), one], -1), 6.0)
    value, log_slope = linear_tail_spline(x, torch.cat([widths, heights, raw], -1).T, 6.0)
    expected_value, expected_log_slope = expected.call_and_ladj(x)
    torch.testing.assert_close(value, expected_value, atol=1e-10, rtol=0)
    torch.testing.assert_close(log_slope, expected_log_slope, atol=1e-9, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_inverse_and_gradients_stay_finite_for_extreme_parameters(dtype):
    generator = torch.Generator().manual_seed(2)
    raw = (30 * torch.randn(3 * BINS + 1, N, generator=generator)).to(dtype).requires_grad_()
    x = torch.linspace(-4, 4, N, dtype=dtype).requires_grad_()
    for inverse in (False, True):
        value, log_slope = circular_spline(x, raw, inverse)
        gradients = torch.autograd.grad(value.sum() + log_slope.sum(), [x, raw])
        assert torch.isfinite(value).all()
        assert torch.isfinite(log_slope).all()
        assert all(torch.isfinite(gradient).all() for gradient in gradients)
