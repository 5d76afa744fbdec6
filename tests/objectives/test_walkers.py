"""Both moves of walkers leave the target as it is; what blows up or leaves is replaced and counted."""

import math

import pytest
import torch

from boltzgen.errors import InputError
from boltzgen.models.flow import FlowModel
from boltzgen.objectives.walkers import Proposals, Walkers, accepted_proposals, walker_likelihood
from boltzgen.sampling.dynamics import Langevin
from tests.models.toy_coordinates import ToyCoordinates
from tests.objectives.two_modes import N_STIFF, N_TORSIONS, SMALL, TwoModes, mode_frames


def untrained_model() -> FlowModel:
    torch.manual_seed(0)
    return FlowModel(ToyCoordinates(N_TORSIONS, N_STIFF), SMALL).double()


def population(number: int, generator: torch.Generator, target: TwoModes | None = None) -> Walkers:
    dynamics = Langevin(target or TwoModes(), torch.ones(1), time_step=0.05, recentre=False)
    both = torch.cat([torch.cat(tuple(mode_frames(mode, number, generator)), 1) for mode in (0, 1)])
    return Walkers(dynamics, both.view(-1, 1, 3), number, generator)


def test_metropolis_keeps_the_target_and_leads_other_starts_to_it():
    """p = N(1, 0.8²), q = N(0, 1.5²): mean and variance of walkers, from p and from elsewhere."""
    generator = torch.Generator().manual_seed(0)
    n, mean, sigma, broad = 40_000, 1.0, 0.8, 1.5

    def log_weight(x: torch.Tensor) -> torch.Tensor:
        return -0.5 * ((x - mean) / sigma) ** 2 + 0.5 * (x / broad) ** 2

    starts = {
        "equilibrium": (mean + sigma * torch.randn(n, generator=generator, dtype=torch.float64), 1),
        "elsewhere": (torch.full((n,), -2.0, dtype=torch.float64), 40),
    }
    for x, rounds in starts.values():
        for _ in range(rounds):
            proposed = broad * torch.randn(n, generator=generator, dtype=torch.float64)
            accept = accepted_proposals(log_weight(x), log_weight(proposed), generator)
            x = torch.where(accept, proposed, x)
        assert 0 < accept.double().mean() < 1
        assert abs(x.mean() - mean) < 4 * sigma / math.sqrt(n)
        assert abs(x.var() - sigma**2) < 4 * sigma**2 * math.sqrt(2 / n)


def test_weights_decide_and_walkers_without_weight_always_move():
    minus = -math.inf
    here = torch.tensor([0.0, minus, minus, 0.0, 300.0], dtype=torch.float64)
    there = torch.tensor([300.0, -500.0, minus, minus, 0.0], dtype=torch.float64)
    accept = accepted_proposals(here, there, torch.Generator().manual_seed(0))
    assert accept.tolist() == [True, True, False, False, False]


def test_likelihood_is_the_models_and_leaves_out_what_is_outside_the_ranges():
    model = untrained_model()

    class Ranged(ToyCoordinates):
        def from_positions(self, x):
            torsions, stiff, log_det = super().from_positions(x)
            return torsions, stiff, torch.where(stiff[:, 0] > 0, torch.inf, log_det)

    frames = mode_frames(0, 50, torch.Generator().manual_seed(0))
    x = torch.cat(tuple(frames), 1).view(-1, 1, 3)
    loss, log_prob = walker_likelihood(model, x)
    torch.testing.assert_close(log_prob, model.log_prob(x).detach())
    torch.testing.assert_close(loss, -model.log_prob(x).mean())
    model.coordinates = Ranged(N_TORSIONS, N_STIFF)
    loss, ranged = walker_likelihood(model, x)
    inside = frames.stiff[:, 0] <= 0
    assert torch.equal(torch.isfinite(ranged), inside)
    torch.testing.assert_close(loss, -log_prob[inside].mean())
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("beta", [1.0, 0.5])
def test_dynamics_and_proposals_correct_the_populations_of_the_starts(beta):
    """Half of the walkers start in either mode; 0.7^β : 0.3^β belong there. The proposals are uniform."""
    generator = torch.Generator().manual_seed(1)
    walkers = population(2000, generator)
    target = walkers.dynamics.target
    n_proposals, log_volume = 2000, math.log(2 * math.pi) * N_TORSIONS
    for _ in range(60):
        walkers.move(2, target.temperature / beta, generator)
        uniform = (
            torch.rand(n_proposals, N_TORSIONS, generator=generator, dtype=torch.float64) - 0.5
        ) * math.tau
        stiff = torch.randn(n_proposals, N_STIFF, generator=generator, dtype=torch.float64)
        x = torch.cat([uniform, stiff], 1).view(-1, 1, 3)

        def log_q(positions: torch.Tensor) -> torch.Tensor:
            y = positions.flatten(1)[:, N_TORSIONS:]
            return -0.5 * y.square().sum(1) - 0.5 * N_STIFF * math.log(2 * math.pi) - log_volume

        proposals = Proposals(x, target.reduced_energy(x), log_q(x))
        walkers.exchange(log_q(walkers.positions), proposals, beta, generator)
    second = (walkers.positions.flatten(1)[:, :N_TORSIONS].mean(1) > -0.1).double()
    expected = 0.3**beta / (0.3**beta + 0.7**beta)
    assert abs(second.mean() - expected) < 4 * math.sqrt(0.25 / 2000)
    assert 0.01 < walkers.acceptance < 0.5
    assert walkers.replaced == 0
    u, gradient = target.reduced_energy_and_gradient(walkers.positions)
    torch.testing.assert_close(walkers.state.energy, u * target.kT)
    torch.testing.assert_close(walkers.state.gradient.permute(2, 1, 0), gradient * target.kT)


def test_walkers_that_blow_up_or_leave_are_replaced_and_counted():
    generator = torch.Generator().manual_seed(2)
    walkers = population(10, generator)
    walkers.state.positions[..., :3] = torch.nan
    walkers.move(1, walkers.dynamics.target.temperature, generator)
    assert walkers.replaced == 3
    assert torch.isfinite(walkers.positions).all()
    log_prob = torch.zeros(10, dtype=torch.float64)
    log_prob[4:6] = -torch.inf
    x = torch.zeros(10, 1, 3, dtype=torch.float64)
    impossible = Proposals(
        x, torch.full((10,), 1e6, dtype=torch.float64), torch.zeros(10, dtype=torch.float64)
    )
    walkers.exchange(log_prob, impossible, 1.0, generator)
    assert walkers.replaced == 5
    assert walkers.accepted == 2
    assert torch.equal(walkers.positions[4:6], x[4:6])
    few = Proposals(x[:3], torch.zeros(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64))
    walkers.exchange(torch.zeros(10, dtype=torch.float64), few, 1.0, generator)
    assert walkers.proposed == 13


def test_no_start_is_refused():
    with pytest.raises(InputError, match="starting positions"):
        Walkers(Langevin(TwoModes(), torch.ones(1)), torch.empty(0, 1, 3), 4, torch.Generator())
