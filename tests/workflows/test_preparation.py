"""Frames that a budget allows, and the order of labels that every run has in common."""

import itertools

import numpy as np
import pytest
import torch

from boltzgen.energies.compiler import compile_system
from boltzgen.energies.target import BoltzmannTarget
from boltzgen.progress import Stopwatch
from boltzgen.sampling.frames import FramesConfig
from boltzgen.systems import load_system
from boltzgen.training.config import TrainingConfig
from boltzgen.workflows import preparation
from boltzgen.workflows.config import SampleConfig
from boltzgen.workflows.preparation import affordable_frames, label_frame, prepare, starting_positions

SMALL = FramesConfig(ladders=16, picoseconds=1.0, walkers=32, local_picoseconds=1.0)


@pytest.mark.parametrize(("seconds_each", "cut"), [(1e-4, 1), (0.06, 4), (1.0, 64)])
def test_frames_take_a_quarter_of_the_budget_at_most(monkeypatch, seconds_each, cut):
    """``seconds_each``: of four steps, of over a thousand that the frames take."""
    system = load_system("CC")
    target = BoltzmannTarget(compile_system(system.system), 300.0)
    generator = torch.Generator().manual_seed(0)
    masses = torch.as_tensor(system.molecule.masses).float()
    starts = starting_positions(system.molecule, 0)
    clock = itertools.count(0.0, seconds_each)
    monkeypatch.setattr(preparation.time, "monotonic", lambda: next(clock))
    frames = FramesConfig(ladders=64, picoseconds=2.0, walkers=64, local_picoseconds=2.0)
    config = SampleConfig(molecule="CC", budget_seconds=40.0, frames=frames)
    found = affordable_frames(config, target, masses, starts, generator)
    work = found.ladders * found.picoseconds / (frames.ladders * frames.picoseconds)
    assert 1 / work == pytest.approx(cut)
    fixed = config.model_copy(update={"training": TrainingConfig(max_steps=10)})
    assert affordable_frames(fixed, target, masses, starts, generator) == frames


def test_all_runs_have_one_order_of_labels():
    """Methylcyclohexane's two branches: exchanged, an axial methyl has the torsions of an equatorial one."""
    inside = []
    for seed in (0, 1):
        config = SampleConfig(
            molecule="CC1CCCCC1", seed=seed, frames=SMALL, training=TrainingConfig(max_steps=1)
        )
        problem = prepare(config, torch.Generator().manual_seed(seed), Stopwatch())
        coordinates, frames = problem.coordinates, problem.frames.thermal.positions
        assert bool(coordinates.contains(frames).all())
        assert bool(coordinates.contains(label_frame(problem.molecule)).all())
        inside.append((coordinates, frames))
    for (coordinates, _), (_, frames) in itertools.permutations(inside, 2):
        assert bool(coordinates.contains(frames).all())
    assert np.isfinite(inside[0][1].numpy()).all()
