"""Langevin dynamics against closed forms of harmonic and quartic wells."""

import math

import pytest
import torch

from boltzgen.errors import EvaluationError, InputError
from boltzgen.sampling.dynamics import Langevin
from boltzgen.units import thermal_energy
from tests.sampling.targets import SeparableTarget, harmonic


def mean_and_error(values):
    """Mean over independent walkers (last dimension) of their time averages, and its standard error."""
    walkers = values.mean(dim=0)
    return walkers.mean().item(), (walkers.std() / math.sqrt(walkers.numel())).item()


def test_harmonic_variance_is_exact_at_a_long_time_step():
    k, mass = 1000.0, 12.0
    target = SeparableTarget(harmonic(k))
    generator = torch.Generator().manual_seed(1)
    time_step = 0.8 / math.sqrt(k / mass)
    langevin = Langevin(target, torch.full((1,), mass), time_step, friction=10.0, recentre=False)
    state = langevin.init(torch.zeros(400, 1, 3, dtype=torch.float64), generator)
    state, _ = langevin.run(state, 200, generator)
    state, trajectory = langevin.run(state, 1500, generator, frame_every=3)
    mean, error = mean_and_error(trajectory.positions.square().mean(dim=(2, 3)))
    assert abs(mean - target.kT / k) < 4 * error
    assert error < 0.01 * target.kT / k
    assert trajectory.replaced == 0
    assert target.evaluations == 400 * (1 + 200 + 1500)


def test_masses_leave_the_distribution_of_a_quartic_well_alone():
    """<x⁴> of exp(−a x⁴/kT) is kT/4a for any mass."""
    a = 5000.0
    target = SeparableTarget(lambda x: a * x**4)
    generator = torch.Generator().manual_seed(2)
    langevin = Langevin(target, torch.tensor([1.0, 16.0]), 0.004, friction=2.0, recentre=False)
    state = langevin.init(torch.zeros(300, 2, 3, dtype=torch.float64), generator)
    state, _ = langevin.run(state, 300, generator)
    state, trajectory = langevin.run(state, 2000, generator, frame_every=5)
    for atom in range(2):
        mean, error = mean_and_error(trajectory.positions[:, :, atom].pow(4).mean(dim=-1))
        assert abs(mean - target.kT / (4 * a)) < 4 * error
        assert error < 0.05 * mean


def test_each_walker_keeps_its_own_temperature():
    target = SeparableTarget(harmonic(500.0))
    generator = torch.Generator().manual_seed(3)
    temperatures = torch.tensor([300.0, 600.0]).repeat_interleave(200)
    langevin = Langevin(target, torch.full((2,), 10.0), 0.02, 5.0, temperature=temperatures, recentre=False)
    state = langevin.init(torch.zeros(400, 2, 3, dtype=torch.float64), generator)
    state, _ = langevin.run(state, 200, generator)
    state, trajectory = langevin.run(state, 1000, generator, frame_every=2)
    for walkers, temperature in ((slice(0, 200), 300.0), (slice(200, 400), 600.0)):
        mean, error = mean_and_error(trajectory.energies[:, walkers])
        assert abs(mean - 3.0 * thermal_energy(temperature)) < 4 * error
        assert error < 0.05 * mean


def test_walkers_that_blow_up_continue_from_healthy_ones_of_their_group():
    target = SeparableTarget(harmonic(100.0))
    groups = torch.tensor([0, 0, 1, 1])
    langevin = Langevin(target, torch.ones(1), walker_groups=groups, recentre=False)
    start = torch.zeros(4, 1, 3)
    start[0] = math.nan
    start[1], start[3] = 0.01, 0.02
    start[2] = 1e6
    state = langevin.init(start)
    assert torch.equal(state.public_positions[:, 0, 0], torch.tensor([0.01, 0.01, 0.02, 0.02]))
    assert torch.isfinite(state.velocities).all()
    broken = type(state)(state.positions * 1e6, state.velocities, state.energy, state.gradient)
    broken.positions[..., 1:] = state.positions[..., 1:]
    stepped, info = langevin.step(broken)
    assert info.replaced == 1
    assert stepped.positions.abs().max() < 1.0


def test_no_healthy_walker_is_a_fault_that_is_said():
    langevin = Langevin(SeparableTarget(harmonic(1.0)), torch.ones(1))
    with pytest.raises(EvaluationError, match="shorter time step"):
        langevin.init(torch.full((3, 1, 3), math.nan))


def test_the_same_seed_repeats_a_run():
    def positions(seed):
        generator = torch.Generator().manual_seed(seed)
        langevin = Langevin(SeparableTarget(harmonic(100.0)), torch.ones(2), 0.01)
        _, trajectory = langevin.run(langevin.init(torch.zeros(5, 2, 3), generator), 20, generator)
        return trajectory.positions

    assert torch.equal(positions(1), positions(1))
    assert not torch.equal(positions(1), positions(2))


def test_recentring_keeps_frames_at_the_origin():
    spring = SeparableTarget(lambda x: 50.0 * (x - x.mean(dim=1, keepdim=True)).square())
    generator = torch.Generator().manual_seed(5)
    langevin = Langevin(spring, torch.ones(3), 0.01)
    _, trajectory = langevin.run(langevin.init(torch.ones(4, 3, 3), generator), 50, generator, frame_every=10)
    assert trajectory.positions.shape == (5, 4, 3, 3)
    assert trajectory.positions.mean(dim=2).abs().max() < 1e-5


@pytest.mark.parametrize(
    ("name", "value"), [("time_step", 0.0), ("friction", -1.0), ("masses", torch.zeros(2))]
)
def test_bad_settings_are_refused(name, value):
    with pytest.raises(InputError):
        Langevin(**{"target": SeparableTarget(harmonic(1.0)), "masses": torch.ones(2), name: value})
