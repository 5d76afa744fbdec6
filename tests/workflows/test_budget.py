"""A budget is kept when the machine turns out slower than planned: told by clocks that the tests move."""

import numpy as np
import pytest
import torch

from boltzgen.energies.compiler import compile_system
from boltzgen.energies.target import BoltzmannTarget
from boltzgen.errors import InputError
from boltzgen.progress import Stopwatch, untimed
from boltzgen.sampling.frames import FramesConfig, local_frames, thermal_dynamics, thermal_frames
from boltzgen.systems import load_system
from boltzgen.training.config import TrainingConfig
from boltzgen.training.families import untrained_model
from boltzgen.workflows import plan as planning
from boltzgen.workflows import preparation
from boltzgen.workflows.config import SampleConfig, require_room
from boltzgen.workflows.preparation import prepare
from boltzgen.workflows.sample import run_sample
from boltzgen.workflows.sampling import SAMPLING_CHUNK, draw

FRAMES = FramesConfig(ladders=4, picoseconds=4.0, walkers=16, local_picoseconds=4.0)


@pytest.fixture(scope="module")
def ethane():
    system = load_system("CC")
    target = BoltzmannTarget(compile_system(system.system), 300.0)
    masses = torch.as_tensor(system.molecule.masses).float()
    starts = torch.as_tensor(system.molecule.seed_conformers(4, seed=0)).float()
    return target, masses, starts


def spending(each: float):
    """A share spent that grows by ``each`` whenever it is asked for."""
    asked = iter(np.arange(1, 10_000) * each)
    return lambda: float(next(asked))


def test_dynamics_ends_with_what_it_has_when_its_time_is_over(ethane):
    target, masses, starts = ethane
    whole = thermal_frames(target, masses, starts, FRAMES, torch.Generator().manual_seed(0))
    cut = thermal_frames(
        target, masses, starts, FRAMES, torch.Generator().manual_seed(0), spent=spending(0.05)
    )
    assert whole.frames_a_ladder == 32
    # Settling ends when a fifth is spent, at the fourth look; four rounds come before the next look.
    assert cut.frames_a_ladder == 4 + 15
    assert len(cut.positions) == len(cut.ladder) == 19 * FRAMES.ladders
    assert len(cut.tempered) > 0
    late = thermal_frames(target, masses, starts, FRAMES, torch.Generator(), spent=lambda: 5.0)
    assert late.frames_a_ladder == 4


def test_dynamics_ends_when_its_frames_are_enough_and_a_fifth_of_it_has_settled(ethane):
    target, masses, starts = ethane
    asked = []

    def enough(x, energies):
        asked.append(len(x))
        assert x.shape[:2] == energies.shape == (len(x), FRAMES.ladders)
        u = target.reduced_energy(x.flatten(0, 1)).view(energies.shape)
        torch.testing.assert_close(u * target.kT, energies, rtol=1e-4, atol=1e-3)
        return len(asked) == 2

    generator = torch.Generator().manual_seed(0)
    found = thermal_frames(target, masses, starts, FRAMES, generator, enough=enough)
    # Looks after 30 and 36 of 40 rounds, of which 6 and 7 settle.
    assert asked == [24, 29]
    assert found.frames_a_ladder == 29
    never = thermal_frames(
        target, masses, starts, FRAMES, torch.Generator().manual_seed(0), enough=lambda x, u: False
    )
    whole = thermal_frames(target, masses, starts, FRAMES, torch.Generator().manual_seed(0))
    assert torch.equal(never.positions, whole.positions)


def test_time_that_is_left_changes_no_frame(ethane):
    target, masses, starts = ethane
    found = [
        thermal_frames(target, masses, starts, FRAMES, torch.Generator().manual_seed(0), spent=spent)
        for spent in (untimed, lambda: 0.1)
    ]
    assert torch.equal(found[0].positions, found[1].positions)
    assert torch.equal(found[0].tempered, found[1].tempered)


def test_local_dynamics_ends_when_its_time_is_over(ethane):
    target, masses, starts = ethane
    dynamics = thermal_dynamics(target, masses, 0.002, 5.0)
    whole, _ = local_frames(dynamics, starts, FRAMES, torch.Generator().manual_seed(0))
    cut, _ = local_frames(dynamics, starts, FRAMES, torch.Generator().manual_seed(0), spending(0.1))
    assert len(whole) == 40 * len(starts)
    assert torch.equal(cut, whole[: 10 * len(starts)])


@pytest.mark.parametrize("slower", [1.0, 30.0])
def test_preparation_keeps_its_share_when_the_load_rises_after_it_was_planned(monkeypatch, slower):
    """Evaluations cost so much time each, and ``slower`` times that once the dynamics itself runs."""
    budget, now = 100.0, 0.0
    seconds_each = budget / 8e5
    run = BoltzmannTarget.reduced_energy_and_gradient

    def slow(target, x):
        nonlocal now
        rising = slower if target.evaluations > 10_000 else 1.0
        now += rising * seconds_each * len(x)
        return run(target, x)

    monkeypatch.setattr(BoltzmannTarget, "reduced_energy_and_gradient", slow)
    monkeypatch.setattr(preparation.time, "monotonic", lambda: now)
    frames = FramesConfig(ladders=16, picoseconds=4.0, walkers=64, local_picoseconds=4.0)
    config = SampleConfig(molecule="CC", budget_seconds=budget, frames=frames)
    watch = Stopwatch(clock=lambda: now)
    problem = prepare(config, torch.Generator().manual_seed(0), watch)
    rounds = 50 * 16 * 6 * slower * seconds_each  # a round of exchange is not divided
    assert watch.seconds["dynamics"] < 0.25 * budget + 5 * rounds
    assert watch.elapsed < 0.6 * budget + 10 * rounds
    assert len(problem.frames.thermal.positions) > 0
    assert (problem.frames.thermal.frames_a_ladder < 16) == (slower > 1.0)


def test_samples_are_as_many_as_the_time_allows_and_the_summary_says_so(monkeypatch):
    monkeypatch.setattr(Stopwatch, "allowance", lambda self, seconds: lambda: 2.0)
    config = SampleConfig(
        molecule="O", n_samples=3 * SAMPLING_CHUNK, budget_seconds=6.0, refine="off",
        frames=FramesConfig(ladders=8, picoseconds=0.5, walkers=16, local_picoseconds=0.5),
        training=TrainingConfig(budget_seconds=0.5),
    )  # fmt: skip
    ensemble = run_sample(config)
    assert len(ensemble) == SAMPLING_CHUNK
    assert any(
        f"{SAMPLING_CHUNK} of {3 * SAMPLING_CHUNK} samples" in w for w in ensemble.metadata["warnings"]
    )


def test_samples_that_do_not_fit_into_memory_are_refused_by_their_number():
    with pytest.raises(
        InputError, match=r"1000000000 samples of 14 atoms need about 872 GB .* give at most \d+\."
    ):
        require_room(10**9, 14, usable=8 * 10**9)
    require_room(10**6, 14, usable=8 * 10**9)
    with pytest.raises(InputError, match="GB of memory"):
        run_sample(SampleConfig(molecule="CC", n_samples=10**12))


@pytest.mark.parametrize("steps", [None, 200])
def test_a_plan_runs_no_full_dynamics_and_gives_a_range(monkeypatch, steps):
    problems = []
    real = planning.prepare
    monkeypatch.setattr(planning, "prepare", lambda *a, **k: problems.append(real(*a, **k)) or problems[-1])
    training = TrainingConfig(max_steps=steps, batch_size=64)
    found = planning.plan(SampleConfig(molecule="CCCC", budget_seconds=40.0, training=training))
    assert problems[0].target.evaluations < 50_000  # those of a run: millions
    assert 0.0 < found.least_seconds < found.most_seconds
    assert steps is not None or found.most_seconds == pytest.approx(48.0)


def test_drawing_without_a_limit_draws_all(ethane):
    target, _, _ = ethane
    config = SampleConfig(molecule="CC", frames=FRAMES, training=TrainingConfig(max_steps=1))
    problem = prepare(config, torch.Generator().manual_seed(0), Stopwatch())
    model = untrained_model("flow", {}, problem)
    n = SAMPLING_CHUNK + 10
    assert len(draw(model, target, problem.molecule, n, torch.Generator(), Stopwatch())) == n
