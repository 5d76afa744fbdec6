import math

import pytest
import torch

from boltzgen.coordinates.circle import UNIFORM_SHARE, StretchedCircle


def peaked_angles(n=20_000):
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(2, n, generator=generator, dtype=torch.float64)
    trans = math.pi + 0.2 * noise[0]
    gauche = torch.where(torch.arange(n) % 3 == 0, 1.1, -1.1) + 0.15 * noise[1]
    return torch.remainder(torch.stack([trans, gauche]) + math.pi, 2 * math.pi) - math.pi


@pytest.fixture
def circle():
    fitted = StretchedCircle(2)
    fitted.fit(peaked_angles())
    return fitted


def grid(n=1000):
    return ((torch.arange(n, dtype=torch.float64) + 0.5) / n * 2 - 1).mul(math.pi).expand(2, -1)


def test_it_inverts_itself(circle):
    angle, log_det = circle.stretch(grid())
    again, log_det_again = circle.unstretch(angle)
    torch.testing.assert_close(again, grid().contiguous(), atol=1e-10, rtol=0)
    torch.testing.assert_close(log_det_again, log_det, atol=1e-8, rtol=0)


def test_slope_is_that_of_autograd(circle):
    uniform = grid(200).clone().requires_grad_()
    angle, log_det = circle.stretch(uniform)
    (slope,) = torch.autograd.grad(angle.sum(), uniform)
    torch.testing.assert_close(slope.log().sum(0), log_det, atol=1e-9, rtol=0)


def test_values_beyond_the_seam_are_those_of_the_circle(circle):
    angle, _ = circle.stretch(grid() + 2 * math.pi)
    torch.testing.assert_close(angle, circle.stretch(grid())[0])
    ends, _ = circle.stretch(torch.tensor([[-math.pi, math.pi - 1e-12]] * 2, dtype=torch.float64))
    torch.testing.assert_close(torch.sin(ends), torch.zeros_like(ends), atol=1e-9, rtol=0)


def test_uniform_values_follow_the_frames_and_reach_everywhere(circle):
    uniform = (torch.rand(2, 100_000, generator=torch.Generator().manual_seed(1)) * 2 - 1) * math.pi
    angle, _ = circle.stretch(uniform.double())
    frames = peaked_angles()
    for moment in (1, 2):
        found = torch.exp(1j * moment * angle).mean(1)
        expected = (1 - UNIFORM_SHARE) * torch.exp(1j * moment * frames).mean(1)
        assert (found - expected).abs().max() < 0.03
    assert (2 * math.pi * circle.density).min() > 0.9 * UNIFORM_SHARE


def test_unfitted_it_is_the_identity():
    angle, log_det = StretchedCircle(2).stretch(grid())
    torch.testing.assert_close(angle, grid().contiguous())
    torch.testing.assert_close(log_det, torch.zeros_like(log_det), atol=1e-12, rtol=0)
