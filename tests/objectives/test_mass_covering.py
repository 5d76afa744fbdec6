"""The α = 2 bootstrap against quadrature: its normalising constant, its gradient, its buffer."""

import math

import pytest
import torch

from boltzgen.errors import InputError
from boltzgen.models.flow import FlowModel
from boltzgen.models.model import Internal
from boltzgen.objectives.bootstrap import Bootstrap, BootstrapParticles, bootstrap_loss
from boltzgen.objectives.prioritised_buffer import PrioritisedBuffer
from boltzgen.sampling.importance import log_mean_weight
from tests.models.toy_coordinates import TorusAndGaussian, ToyCoordinates
from tests.objectives.two_modes import SMALL


def particles(log_weights: list[float], first: float = 0.0) -> BootstrapParticles:
    n = len(log_weights)
    values = first + torch.arange(n, dtype=torch.float64)
    frames = Internal(values[:, None], values[:, None])
    zeros = torch.zeros(n, dtype=torch.float64)
    return BootstrapParticles(frames, torch.tensor(log_weights, dtype=torch.float64), zeros, zeros)


def test_weights_have_the_mean_of_p_squared_over_q():
    torch.manual_seed(3)
    model, target = FlowModel(ToyCoordinates(2, 1), SMALL).double(), TorusAndGaussian(2, 1, kappa=1.0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    edges = torch.linspace(-math.pi, math.pi, 49, dtype=torch.float64)[:-1]
    stiff = torch.linspace(-6.0, 6.0, 161, dtype=torch.float64)
    a, b, y = (grid.flatten() for grid in torch.meshgrid(edges, edges, stiff, indexing="ij"))
    frames = Internal(torch.stack([a, b], 1), y[:, None])
    cell = (math.tau / 48) ** 2 * 12.0 / 160
    with torch.no_grad():
        log_q = model.internal_log_prob(frames)
        log_p = -target.reduced_energy(torch.cat(tuple(frames), 1).view(-1, 1, 3))
    assert float(log_q.exp().sum() * cell) == pytest.approx(1.0, abs=1e-3)
    expected = float(torch.logsumexp(2 * log_p - log_q, 0)) + math.log(cell)
    bootstrap = Bootstrap(model, target, n_stages=5, n_leapfrog=3)
    bootstrap.run(200, torch.Generator().manual_seed(0))
    found = bootstrap.run(3000, torch.Generator().manual_seed(1))
    estimate = log_mean_weight(found.log_weights)
    assert abs(estimate.value - expected) < 4 * estimate.stderr
    assert estimate.stderr < 0.08
    log_z = log_mean_weight(found.model_log_weights)
    assert abs(log_z.value - target.log_Z) < 4 * log_z.stderr
    with torch.no_grad():
        torch.testing.assert_close(found.log_prob, model.internal_log_prob(found.frames), atol=1e-6, rtol=0)
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_gradient_is_that_of_the_divergence_also_with_weights_of_an_older_model():
    """q = N(m, s²) with gradients in m and ln s, particles drawn by p²/q of other parameters."""
    x = torch.linspace(-12.0, 12.0, 4001, dtype=torch.float64)

    def log_normal(mean: torch.Tensor, log_scale: torch.Tensor) -> torch.Tensor:
        return -0.5 * ((x - mean) / log_scale.exp()) ** 2 - log_scale - 0.5 * math.log(math.tau)

    zero = torch.zeros((), dtype=torch.float64)
    log_p = log_normal(zero, zero)
    old = log_normal(zero + 0.3, zero + 0.2)
    parameters = torch.tensor([0.6, 0.4], dtype=torch.float64, requires_grad=True)
    divergence = torch.logsumexp(2 * log_p - log_normal(*parameters), 0).exp()
    start = torch.logsumexp(2 * log_p - old, 0).exp()
    (expected,) = torch.autograd.grad(divergence / start, parameters)
    n, batches = 4000, 40
    generator, found = torch.Generator().manual_seed(0), []
    for _ in range(batches):
        drawn = torch.multinomial(torch.softmax(2 * log_p - old, 0), n, replacement=True, generator=generator)
        loss = bootstrap_loss(log_normal(*parameters)[drawn], old[drawn], bound=1e6)
        found.append(torch.autograd.grad(loss, parameters)[0])
    gradients = torch.stack(found)
    error = gradients.std(0) / math.sqrt(batches)
    assert ((gradients.mean(0) - expected).abs() < 4 * error).all()
    assert (error < 0.02 * expected.abs().max()).all()


def test_corrections_are_bounded_and_lost_particles_do_not_train():
    log_prob = torch.tensor([-50.0, -1.0, -torch.inf], dtype=torch.float64, requires_grad=True)
    loss = bootstrap_loss(log_prob, torch.full((3,), -1.0, dtype=torch.float64), bound=10.0)
    (gradient,) = torch.autograd.grad(loss, log_prob)
    torch.testing.assert_close(gradient, torch.tensor([-10.0, -1.0, 0.0], dtype=torch.float64) / 3)


def test_the_buffer_keeps_the_latest_draws_by_weight_and_follows_the_model():
    buffer = PrioritisedBuffer(4)
    buffer.add(particles([0.0, math.inf * -1, 0.0], first=0.0))
    assert len(buffer) == 2
    buffer.add(particles([math.log(3.0), 0.0, math.log(2.0)], first=10.0))
    assert buffer.frames.torsions.flatten().tolist() == [2.0, 10.0, 11.0, 12.0]
    n = 20_000
    drawn = buffer.draw(n, torch.Generator().manual_seed(0))
    share = torch.bincount(drawn, minlength=4) / n
    expected = torch.tensor([1.0, 3.0, 1.0, 2.0]) / 7
    assert ((share - expected).abs() < 4 * (expected * (1 - expected) / n).sqrt()).all()
    assert torch.equal(buffer.frames_at(drawn).stiff.flatten(), buffer.frames.stiff.flatten()[drawn])
    twice = torch.tensor([1, 1, 3])
    buffer.update(twice, torch.tensor([math.log(3.0), math.log(3.0), -torch.inf], dtype=torch.float64))
    torch.testing.assert_close(
        buffer.log_weights.exp(), torch.tensor([1.0, 1.0, 1.0, 2.0], dtype=torch.float64)
    )


def test_an_empty_buffer_is_refused():
    with pytest.raises(InputError, match="at least one"):
        PrioritisedBuffer(0)
