"""Spline values against zuko's, with the same knots and slopes."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from zuko.transforms import MonotonicRQSTransform

from boltzgen.flows import operators
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


KINDS = pytest.mark.parametrize(("periodic", "bound"), [(True, math.pi), (False, 6.0)])
BACKENDS = pytest.mark.parametrize("compiled", [False, True])


@st.composite
def parameters(draw, periodic):
    """Raw parameters that are up to a thousand times those of a trained flow, or all equal."""
    scale = draw(st.sampled_from([0.0, 1.0, 30.0, 1000.0]))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    return scale * torch.randn(25 if periodic else 23, 1, 1, generator=generator, dtype=torch.float64)


def spline(x, raw, bound, periodic, inverse, compiled):
    if compiled:
        value, log_det = operators.spline(x[:, None], raw, torch.arange(1), bound, periodic, inverse, 1)
        return value[:, 0], log_det
    if periodic:
        return circular_spline(x, raw[:, 0], inverse)
    return linear_tail_spline(x, raw[:, 0], bound, inverse)


@KINDS
@BACKENDS
@settings(max_examples=25, deadline=None, derandomize=True)
@given(data=st.data())
def test_extreme_splines_rise_and_their_log_slope_is_the_derivative(data, periodic, bound, compiled):
    raw = data.draw(parameters(periodic))
    if periodic:
        raw[-1] = 0.0  # without the turn, so that values rise from −π to π
    x = torch.linspace(-0.999 * bound, 0.999 * bound, 301, dtype=torch.float64).requires_grad_()
    value, log_slope = spline(x, raw, bound, periodic, False, compiled)
    assert (value.diff() >= 0).all()
    assert value.abs().max() <= bound * (1 + 1e-12)
    (slope,) = torch.autograd.grad(value.sum(), x)
    torch.testing.assert_close(log_slope, slope.log(), rtol=1e-8, atol=1e-8)


@KINDS
@BACKENDS
@settings(max_examples=25, deadline=None, derandomize=True)
@given(data=st.data())
def test_extreme_splines_are_inverted(data, periodic, bound, compiled):
    """To the rounding that the slope at the point amplifies; log slopes cancel where the value is exact."""
    raw = data.draw(parameters(periodic))
    x = torch.linspace(-0.99 * bound, 0.99 * bound, 101, dtype=torch.float64)
    value, log_slope = spline(x, raw, bound, periodic, False, compiled)
    back, log_back = spline(value, raw, bound, periodic, True, compiled)
    apart = back - x
    if periodic:
        apart = apart - 2 * math.pi * torch.round(apart / (2 * math.pi))
    assert (apart.abs() <= 1e-11 * (1 + torch.exp(-log_slope)) * bound).all()
    well = log_slope.abs() < 3.0
    assert ((log_slope + log_back)[well].abs() < 1e-5).all()
