"""Replica exchange against quadrature of a double well and the exact exchange rate of harmonic wells."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate

from boltzgen.errors import InputError
from boltzgen.sampling.dynamics import Langevin
from boltzgen.sampling.tempering import ReplicaExchange, ladder_estimate, temperature_ladder
from boltzgen.units import thermal_energy
from tests.sampling.targets import SeparableTarget, harmonic

WIDTH = 0.1


def double_well(x):
    """Two wells at ±0.1 nm, 9 kT (300 K) of barrier, the right one 1.2 kT lower; kJ/mol."""
    kT = thermal_energy(300.0)
    return kT * (9.0 * ((x / WIDTH).square() - 1).square() - 0.6 * x / WIDTH)


def right_share(temperature):
    def weight(x):
        u = double_well(torch.tensor(x, dtype=torch.float64)).item()
        return math.exp(-u / thermal_energy(temperature))

    left, right = (integrate.quad(weight, *ends, epsabs=1e-12)[0] for ends in ((-0.4, 0.0), (0.0, 0.4)))
    return right / (left + right)


def exchange(target, temperatures, n_ladders, steps_per_swap, mass=12.0, time_step=0.002):
    kernel = Langevin(target, torch.full((1,), mass), time_step, friction=5.0, recentre=False)
    return ReplicaExchange(kernel, torch.tensor(temperatures), n_ladders, steps_per_swap)


def test_wells_that_dynamics_cannot_leave_get_their_populations():
    """Every walker starts in the upper well of each axis; plain dynamics of this length stays there."""
    target = SeparableTarget(double_well)
    generator = torch.Generator().manual_seed(1)
    start = torch.full((1, 1, 3), -WIDTH, dtype=torch.float64)
    method = exchange(target, [300.0, 520.0, 900.0, 1560.0, 2700.0], n_ladders=16, steps_per_swap=20)
    state = method.init(start, generator)
    state, _ = method.run(state, 100, generator)
    state, trajectory = method.run(state, 500, generator, frame_every=2)
    right = ladder_estimate((trajectory.positions[:, :, 0] > 0).double().mean(dim=-1))
    assert abs(right.mean.value - right_share(300.0)) < 4 * right.mean.stderr
    assert right.mean.stderr < 0.05
    assert abs(right.drift) < 4
    assert (trajectory.acceptance > 0.2).all()
    assert trajectory.round_trips.sum() > 50
    assert trajectory.replaced == 0
    plain = Langevin(target, method.kernel.masses, 0.002, 5.0, recentre=False)
    walkers, _ = plain.run(plain.init(start.repeat(16, 1, 1), generator), 6000, generator)
    assert (walkers.positions < 0).double().mean() > 0.9


def test_energies_of_every_rung_are_at_its_temperature():
    generator = torch.Generator().manual_seed(2)
    method = exchange(SeparableTarget(harmonic(300.0)), [200.0, 300.0, 450.0], 32, 25)
    state = method.init(torch.zeros(1, 1, 3, dtype=torch.float64), generator)
    state, _ = method.run(state, 40, generator)
    _, trajectory = method.run(state, 300, generator)
    for rung, temperature in enumerate((200.0, 300.0, 450.0)):
        found = ladder_estimate(trajectory.energies[:, :, rung]).mean
        assert abs(found.value - 1.5 * thermal_energy(temperature)) < 4 * found.stderr
        assert found.stderr < 0.1 * found.value


def test_exchange_rate_of_harmonic_wells_is_the_exact_one():
    """U/kT of a three-dimensional harmonic well is Gamma(3/2); the rate is E min(1, exp(ΔβΔU))."""
    generator = torch.Generator().manual_seed(3)
    method = exchange(SeparableTarget(harmonic(300.0)), [300.0, 900.0], 64, 20, time_step=0.01)
    state = method.init(torch.zeros(1, 1, 3, dtype=torch.float64), generator)
    state, _ = method.run(state, 20, generator)
    _, trajectory = method.run(state, 400, generator)
    cold, hot = np.random.default_rng(0).gamma(1.5, [[1.0], [3.0]], (2, 1_000_000))
    exact = np.minimum(1.0, np.exp((1 - 1 / 3) * (cold - hot))).mean()
    n_tried = 64 * 200
    assert float(trajectory.acceptance[0]) == pytest.approx(exact, abs=5 * math.sqrt(0.25 / n_tried))


def test_a_geometric_ladder_exchanges_about_as_often_as_it_promises():
    ladder = temperature_ladder(300.0, 900.0, n_atoms=22)
    assert ladder[0] == pytest.approx(300.0)
    assert ladder[-1] == pytest.approx(900.0)
    ratios = ladder[1:] / ladder[:-1]
    assert ratios == pytest.approx(ratios[0].expand_as(ratios))
    rng = np.random.default_rng(1)
    cold, hot = rng.gamma(30, 1.0, 100_000), rng.gamma(30, float(ratios[0]), 100_000)
    rate = np.minimum(1.0, np.exp((1 - 1 / float(ratios[0])) * (cold - hot))).mean()
    assert 0.35 < rate < 0.55


def test_error_between_ladders_is_honest_for_correlated_frames():
    """Over 200 repeats of an autoregressive series the pull is Student's with 15 degrees of freedom."""
    rng, pulls, sizes = np.random.default_rng(4), [], []
    for _ in range(200):
        noise = rng.normal(size=(2000, 16)) * math.sqrt(1 - 0.9**2)
        series = np.empty_like(noise)
        series[0] = rng.normal(size=16)
        for t in range(1, 2000):
            series[t] = 0.9 * series[t - 1] + noise[t]
        found = ladder_estimate(torch.from_numpy(series))
        pulls.append(found.mean.value / found.mean.stderr)
        sizes.append(found.effective_sample_size)
    assert abs(np.mean(pulls)) < 4 * math.sqrt(15 / 13 / 200)
    assert np.std(pulls) == pytest.approx(math.sqrt(15 / 13), rel=0.2)
    exact = 2000 * 16 * (1 - 0.9) / (1 + 0.9)
    assert np.median(sizes) == pytest.approx(exact, rel=0.15)


def test_a_drifting_run_is_found_out():
    series = torch.linspace(0, 1, 500, dtype=torch.float64)[:, None] + 0.1 * torch.randn(
        500, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    assert ladder_estimate(series).drift < -3


@pytest.mark.parametrize(
    ("temperatures", "n_ladders"), [([300.0], 4), ([400.0, 300.0], 4), ([300.0, 400.0], 1)]
)
def test_bad_ladders_are_refused(temperatures, n_ladders):
    with pytest.raises(InputError):
        exchange(SeparableTarget(harmonic(1.0)), temperatures, n_ladders, 10)
