"""No step of training or of dynamics waits for a device: what the host would read is seen on the CPU."""

import importlib.util
import math
from pathlib import Path

import pytest
import torch

from boltzgen import accelerators
from boltzgen.coordinates.base import MixtureBlock
from boltzgen.objectives.dispersion import usual_level
from boltzgen.objectives.objective import Loss
from boltzgen.progress import Stopwatch
from boltzgen.sampling.dynamics import Langevin
from boltzgen.sampling.frames import FramesConfig, thermal_dynamics
from boltzgen.sampling.tempering import ReplicaExchange, temperature_ladder
from boltzgen.sampling.turns import BondTurns
from boltzgen.training.config import TrainingConfig
from boltzgen.training.executors.alone import Alone
from boltzgen.training.families import untrained_model
from boltzgen.training.outcomes import Outcomes
from boltzgen.training.recipes import flow_stages
from boltzgen.training.stage import Stage
from boltzgen.training.trainer import train
from boltzgen.workflows.config import SampleConfig
from boltzgen.workflows.preparation import prepare
from boltzgen.workflows.training_data import energy_data

from ..sampling.targets import SeparableTarget, harmonic
from ..training.toy_objectives import FunctionObjective

SCRIPT = Path(__file__).parents[2] / "scripts" / "benchmarks" / "waits.py"
spec = importlib.util.spec_from_file_location("waits", SCRIPT)
waits = importlib.util.module_from_spec(spec)
spec.loader.exec_module(waits)

SETTINGS = {"torsion_couplings": 2, "torsion_hidden": 8, "stiff_couplings": 2, "stiff_hidden": 8}


@pytest.fixture(autouse=True)
def beside(monkeypatch):
    """The CPU is taken for a device that works beside the host."""
    monkeypatch.setattr(accelerators, "costs_a_wait", lambda device: True)


@pytest.fixture(scope="module")
def problem():
    frames = FramesConfig(ladders=4, picoseconds=0.5, walkers=16, local_picoseconds=0.5)
    config = SampleConfig(molecule="OCCF", frames=frames, training=TrainingConfig(max_steps=1))
    return prepare(config, torch.Generator().manual_seed(0), Stopwatch())


@pytest.mark.parametrize("name", ["guided", "reverse-kl", "likelihood"])
def test_training_steps_do_not_wait(problem, name):
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    config = TrainingConfig(max_steps=4, batch_size=32, objective=name)
    model = untrained_model("flow", SETTINGS, problem)
    for stage in flow_stages(model, energy_data(problem, model, generator), config):
        executor = Alone(stage.objective, list(model.parameters()))
        with waits.Waits() as seen:
            executor.loss_and_gradient(0, 0.5)
        assert seen.waits == {}, stage.name
        assert seen.operations > 50


def test_the_loop_reads_results_every_so_often(problem, monkeypatch):
    """Of two windows of sixteen steps, it learns at the end of each what became of them."""
    torch.manual_seed(0)
    config = TrainingConfig(max_steps=32, batch_size=32, objective="reverse-kl", warmup_share=0.0)
    model = untrained_model("flow", SETTINGS, problem)
    (stage,) = flow_stages(model, energy_data(problem, model, torch.Generator().manual_seed(1)), config)
    read = []
    plain = Outcomes.read
    monkeypatch.setattr(Outcomes, "read", lambda self: read.append(plain(self)) or read[-1])
    result = train(model, [stage], config)
    assert [len(steps) for steps in read if steps] == [16, 16]
    assert result.n_dropped == 32  # a hundredth of each batch
    assert result.n_bad_steps == 0


def trained(steps: int = 40, bad: tuple[int, ...] = ()) -> tuple[torch.Tensor, int]:
    """A parameter after a training whose loss is not finite at some steps, and how many were seen."""
    model = torch.nn.Linear(3, 1, bias=False)
    torch.nn.init.ones_(model.weight)
    calls = iter(range(steps))

    def loss(progress: float) -> Loss:
        factor = math.nan if next(calls) in bad else 1.0
        return Loss(factor * (model.weight - torch.tensor([1.0, 2.0, 3.0])).square().sum(), n_dropped=2)

    stage = Stage("toy", 1.0, 0.1, FunctionObjective(loss, model))
    result = train(model, [stage], TrainingConfig(max_steps=steps))
    assert result.n_dropped == 2 * steps
    return model.weight.detach().clone(), result.n_bad_steps


def test_steps_whose_result_nobody_waits_for_are_those_that_are_seen(monkeypatch):
    unseen, _ = trained()
    monkeypatch.setattr(accelerators, "costs_a_wait", lambda device: False)
    seen, _ = trained()
    torch.testing.assert_close(unseen, seen, rtol=1e-5, atol=1e-5)


def test_a_bad_step_that_nobody_waits_for_changes_nothing():
    """A training of which every second step is bad stays finite, and is counted."""
    weight, n_bad = trained(bad=tuple(range(0, 40, 2)))
    assert n_bad == 20
    assert torch.isfinite(weight).all()
    assert float((weight - 1.0).abs().max()) > 0.05
    alone, n_bad = trained(steps=1, bad=(0,))
    assert n_bad == 1
    assert torch.equal(alone, torch.ones(1, 3))


def test_dynamics_waits_only_where_it_looks(problem):
    """Once in fifty steps."""
    generator = torch.Generator().manual_seed(2)
    dynamics = thermal_dynamics(problem.target, problem.masses, 0.002, 5.0)
    state = dynamics.init(problem.frames.within_conformers[:16], generator)
    with waits.Waits() as seen:
        dynamics.run(state, 50, generator)
    assert sum(seen.waits.values()) == 1


def test_exchanges_and_turns_do_not_wait(problem):
    generator = torch.Generator().manual_seed(3)
    dynamics = thermal_dynamics(problem.target, problem.masses, 0.002, 5.0)
    temperatures = temperature_ladder(300.0, 900.0, problem.target.n_atoms)
    exchange = ReplicaExchange(dynamics, temperatures, 2, 10, BondTurns.of(problem.molecule))
    state = exchange.init(problem.frames.within_conformers, generator)
    with waits.Waits() as seen:
        exchange.run(state, 3, generator)
    assert sum(seen.waits.values()) == 3  # looks for walkers that blew up, one for ten steps


def test_walkers_that_blew_up_between_looks_are_replaced():
    langevin = Langevin(SeparableTarget(harmonic(100.0)), torch.ones(1), look_every=10, recentre=False)
    generator = torch.Generator().manual_seed(4)
    state = langevin.init(torch.full((4, 1, 3), 0.01), generator)
    state.positions[0, 0, 2] = 1e4  # at the first step only: the spring brings it back, too fast
    state.velocities[0, 0, 2] = 0.0
    state, trajectory = langevin.run(state, 10, generator)
    assert trajectory.replaced == 1
    assert state.positions.abs().max() < 1.0


def test_samples_of_several_basins_come_without_a_wait():
    """Means and covariances of the samples are those of the mixture."""
    block = MixtureBlock([0, 1], 3)
    weights = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
    means = torch.tensor([[0.0, 0.0], [5.0, 1.0], [-4.0, 2.0]], dtype=torch.float64)
    factors = torch.tensor([[[1.0, 0.0], [0.5, 0.2]]], dtype=torch.float64).repeat(3, 1, 1)
    block.set(weights, means, factors)
    generator = torch.Generator().manual_seed(5)
    normal = torch.randn(20000, 2, dtype=torch.float64, generator=generator)
    with waits.Waits() as seen:
        sample = block.transform(normal, generator)
    assert seen.waits == {}
    nearest = torch.cdist(sample, means).argmin(1)
    for k in range(3):
        mine = sample[nearest == k]
        assert abs(len(mine) / 20000 - float(weights[k])) < 4 * math.sqrt(0.25 / 20000)
        torch.testing.assert_close(mine.mean(0), means[k], rtol=0, atol=0.08)
        torch.testing.assert_close(mine.T.cov(), factors[k] @ factors[k].T, rtol=0.1, atol=0.05)


def test_the_usual_level_is_the_mean_of_the_lower_part_of_what_is_finite():
    actions = torch.randn(100, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    actions[[3, 50]], actions[7] = torch.inf, torch.nan
    lower = sorted(float(a) for a in actions if math.isfinite(a))[: int(0.97 * 97)]
    with waits.Waits() as seen:
        level = usual_level(actions)
    assert seen.waits == {}
    assert float(level) == pytest.approx(sum(lower) / len(lower), rel=1e-12)
    assert math.isnan(usual_level(torch.full((4,), torch.inf)))
