"""Losses of two players: against finite differences, gradients by hand, and W₁ known in closed form."""

import math

import pytest
import torch

from boltzgen.errors import InputError
from boltzgen.models.critic import CriticNetwork
from boltzgen.models.gan import AdversarialModel, GanConfig
from boltzgen.models.model import Internal
from boltzgen.objectives.adversarial import (
    clip_parameters,
    critic_distance,
    critic_estimate,
    discriminator_loss,
    domain_loss,
    gradient_norms,
    gradient_penalty,
    interpolates,
    kantorovich_difference,
    non_saturating_loss,
    reverse_gradient,
)
from tests.models.toy_coordinates import ToyCoordinates


def critic_and_points(n: int = 7) -> tuple[CriticNetwork, torch.Tensor]:
    torch.manual_seed(0)
    critic = CriticNetwork(3, hidden=16, depth=2).double()
    torch.nn.init.normal_(critic.last.weight, std=0.5)
    return critic, torch.randn(n, 3, dtype=torch.float64)


def test_losses_of_the_game_are_cross_entropies():
    real, fake = torch.tensor([0.3, -2.0]).double(), torch.tensor([1.5, 0.0, -4.0]).double()
    expected = -torch.sigmoid(real).log().mean() - (1 - torch.sigmoid(fake)).log().mean()
    torch.testing.assert_close(discriminator_loss(real, fake), expected)
    torch.testing.assert_close(non_saturating_loss(fake), -torch.sigmoid(fake).log().mean())
    blind = torch.zeros(5).double()
    assert float(discriminator_loss(blind, blind)) == pytest.approx(2 * math.log(2))
    assert float(domain_loss(blind, blind[:2])) == pytest.approx(math.log(2))
    assert float(domain_loss(blind - 30, blind + 30)) < 1e-9


def test_slopes_and_their_penalty_are_those_of_finite_differences():
    critic, points = critic_and_points()
    step = 1e-5
    with torch.no_grad():
        columns = [
            (critic(points + step * e) - critic(points - step * e)) / (2 * step)
            for e in torch.eye(3, dtype=torch.float64)
        ]
    slopes = torch.stack(columns, 1).square().sum(1).sqrt()
    torch.testing.assert_close(gradient_norms(critic, points).detach(), slopes, atol=1e-8, rtol=1e-6)
    penalty = gradient_penalty(critic, points)
    assert float(penalty.detach()) == pytest.approx(float((slopes - 1).square().mean()), rel=1e-6)


def test_the_penalty_s_gradient_in_a_parameter_is_that_of_finite_differences():
    critic, points = critic_and_points()
    weight = critic.layers[0].weight
    (gradient,) = torch.autograd.grad(gradient_penalty(critic, points), weight)
    step, values = 1e-5, []
    for sign in (1, -1):
        with torch.no_grad():
            weight[2, 1] += sign * step
        values.append(float(gradient_penalty(critic, points).detach()))
        with torch.no_grad():
            weight[2, 1] -= sign * step
    assert float(gradient[2, 1]) == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-5)


def test_a_flat_critic_has_a_penalty_and_a_finite_gradient():
    critic, points = CriticNetwork(3, hidden=16, depth=2), torch.randn(5, 3)
    penalty = gradient_penalty(critic, points)
    penalty.backward()
    assert float(penalty.detach()) == 1.0
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in critic.parameters())


def test_interpolates_are_on_the_lines_between_pairs():
    real, fake = torch.randn(50, 3).double(), torch.randn(50, 3).double()
    between = interpolates(real, fake, torch.Generator().manual_seed(1))
    lengths = [torch.linalg.vector_norm(a - b, dim=1) for a, b in ((real, between), (between, fake))]
    torch.testing.assert_close(lengths[0] + lengths[1], torch.linalg.vector_norm(real - fake, dim=1))
    assert 0.3 < float((lengths[0] / (lengths[0] + lengths[1])).mean()) < 0.7


def test_a_reversed_gradient_is_the_gradient_times_minus_the_strength():
    z = torch.randn(4, 2, dtype=torch.float64, requires_grad=True)
    weight = torch.tensor([1.0, -2.0], dtype=torch.float64)
    out = reverse_gradient(z, 0.7)
    assert torch.equal(out, z)
    ((out @ weight).square().sum()).backward()
    by_hand = 2 * (z @ weight)[:, None].detach() * weight
    torch.testing.assert_close(z.grad, -0.7 * by_hand)


def test_clipping_bounds_parameters_and_the_critic_is_bounded_at_once():
    critic = CriticNetwork(3, hidden=16, depth=2, clip=0.05).double()
    with torch.no_grad():
        for parameter in critic.parameters():
            parameter.add_(torch.randn_like(parameter))
    points = torch.randn(6, 3, dtype=torch.float64)
    before = critic(points).detach()
    clip_parameters(critic.parameters(), 0.05)
    assert max(float(p.detach().abs().max()) for p in critic.parameters()) == 0.05
    torch.testing.assert_close(critic(points).detach(), before)


def trained_critic(real: torch.Tensor, fake: torch.Tensor, steps: int) -> CriticNetwork:
    torch.manual_seed(1)
    critic = CriticNetwork(real.shape[1], hidden=64, depth=2).double()
    optimizer = torch.optim.Adam(critic.parameters(), lr=3e-3, betas=(0.0, 0.9))
    generator = torch.Generator().manual_seed(2)
    for _ in range(steps):
        a, b = (part[torch.randint(len(part), (256,), generator=generator)] for part in (real, fake))
        loss = 10.0 * gradient_penalty(critic, interpolates(a, b, generator))
        optimizer.zero_grad()
        (loss - kantorovich_difference(critic(a), critic(b))).backward()
        optimizer.step()
    return critic


@pytest.mark.parametrize(("dimensions", "shift"), [(1, 2.0), (2, 1.0)])
def test_a_critic_reads_the_distance_of_shifted_distributions(dimensions, shift):
    """W₁ of a distribution and its copy moved by s is |s|."""
    torch.manual_seed(0)
    moved = shift * torch.ones(dimensions, dtype=torch.float64) / math.sqrt(dimensions)
    real = torch.randn(4000, dimensions, dtype=torch.float64)
    fake = torch.randn(4000, dimensions, dtype=torch.float64) + moved
    estimate = critic_estimate(trained_critic(real, fake, 300), real, fake, torch.Generator().manual_seed(3))
    assert abs(estimate.distance - shift) < 0.2 * shift
    assert estimate.lower_bound < estimate.distance
    assert estimate.lower_bound < shift + 3 * estimate.stderr
    assert estimate.slope_mean == pytest.approx(1.0 + shift / 20.0, abs=0.15)


def test_a_discriminator_is_asked_for_no_distance():
    model = AdversarialModel(ToyCoordinates(1, 2), GanConfig(hidden=8))
    with pytest.raises(InputError, match="measures no transport distance"):
        critic_distance(model, Internal(torch.zeros(4, 1), torch.zeros(4, 2)))
