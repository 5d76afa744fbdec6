"""A training killed and resumed ends where an uninterrupted one does."""

import errno
import os
from pathlib import Path

import pytest
import torch

from boltzgen.models.flow import FlowConfig, FlowModel
from boltzgen.models.model import Internal
from boltzgen.objectives.cooling import Cooling
from boltzgen.objectives.likelihood import Likelihood
from boltzgen.objectives.objective import Loss
from boltzgen.objectives.reverse_kl import ReverseKL
from boltzgen.training.checkpoint import Checkpoints, fingerprint
from boltzgen.training.clock import Reserve
from boltzgen.training.config import TrainingConfig
from boltzgen.training.stage import Stage
from boltzgen.training.trainer import train
from tests.models.toy_coordinates import TorusAndGaussian, ToyCoordinates
from tests.training.toy_objectives import FunctionObjective, KilledError, counted

STEPS = 60


def run(path=None, killed_after=None):
    """Two stages of a toy flow; with ``path`` a checkpoint is written before every step."""
    torch.manual_seed(0)
    config = FlowConfig(torsion_couplings=2, torsion_hidden=8, stiff_couplings=2, stiff_hidden=8)
    model, target = FlowModel(ToyCoordinates(2, 4), config).double(), TorusAndGaussian(2, 4, coupled=0.5)
    settings = TrainingConfig(max_steps=STEPS, batch_size=64, warmup_share=0.4)
    generator = torch.Generator().manual_seed(1)
    frames = Internal(*torch.randn(200, 6, generator=generator, dtype=torch.float64).split([2, 4], dim=1))
    n, outliers = settings.batch_size, settings.outliers
    stages = [
        Stage("likelihood", 0.4, 2e-3, Likelihood(model, frames, n, generator)),
        Stage("reverse KL", 0.6, 1e-3, ReverseKL(model, target, n, generator, Cooling(2.0, 0.3), outliers)),
    ]
    calls = counted(stages, killed_after)
    checkpoints = None
    if path is not None:
        checkpoints = Checkpoints(path, generator, fingerprint(model, frames.stiff))
        checkpoints.due = lambda used: True
    result = train(model, stages, settings, checkpoints=checkpoints)
    return model, result, generator, len(calls)


@pytest.mark.parametrize("killed_after", [10, 24, 25, 50])
def test_killed_and_resumed_equals_uninterrupted(tmp_path, killed_after):
    """Same parameters, history and random numbers to come, whichever stage the kill falls into."""
    whole, result, generator, _ = run()
    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(KilledError):
        run(path, killed_after)
    resumed, again, generator_again, calls = run(path)
    assert calls == STEPS - (killed_after - 1)
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)
    assert again.steps == result.steps == STEPS
    assert [row[1:] for row in again.history] == [row[1:] for row in result.history]
    assert torch.equal(generator.get_state(), generator_again.get_state())


def test_a_checkpoint_of_another_start_is_passed_over(tmp_path):
    path, told = tmp_path / "checkpoint.safetensors", []
    model = torch.nn.Linear(2, 2)
    Checkpoints(path, torch.Generator(), fingerprint(model, torch.zeros(3))).write(0.0, {"steps": 1})
    other = Checkpoints(path, torch.Generator(), fingerprint(model, torch.ones(3)), told.append)
    assert other.read() is None
    assert "started from other frames" in told[0]


@pytest.mark.parametrize("damage", ["flipped byte", "half a file", "another file", "gone"])
def test_training_goes_on_from_the_earlier_checkpoint_where_the_last_is_damaged(tmp_path, damage):
    path, told = tmp_path / "checkpoint.safetensors", []
    generator = torch.Generator().manual_seed(5)
    checkpoints = Checkpoints(path, generator, "origin", told.append)
    state = {"numbers": torch.arange(1000.0), "nested": {3: (1, [2.5, None, "text", True])}}
    checkpoints.write(0.1, state | {"step": 1})
    after_first = torch.rand(4, generator=torch.Generator().manual_seed(5))
    torch.rand(7, generator=generator)
    checkpoints.write(0.2, state | {"step": 2})
    content = bytearray(path.read_bytes())
    if damage == "flipped byte":
        content[-1000] ^= 1
        path.write_bytes(content)
    elif damage == "half a file":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "another file":
        path.write_text("{}")
    else:
        path.unlink()
    found = checkpoints.read()
    assert found["step"] == 1
    assert found["nested"] == state["nested"]
    assert torch.equal(found["numbers"], state["numbers"])
    assert torch.equal(torch.rand(4, generator=generator), after_first)
    assert len(told) == (damage != "gone")
    assert all(str(path) in sentence for sentence in told)


def test_a_full_disk_at_a_checkpoint_is_told_and_the_last_one_stays(tmp_path, monkeypatch):
    path, told = tmp_path / "checkpoint.safetensors", []
    checkpoints = Checkpoints(path, torch.Generator(), "origin", told.append)
    assert checkpoints.write(0.1, {"step": 1})

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        assert not checkpoints.write(0.2, {"step": 2})
        assert not checkpoints.write(0.3, {"step": 3})
    assert told == [f"no checkpoint could be written to {tmp_path} (No space left on device)"] * 2
    assert checkpoints.read() == {"step": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint-earlier.safetensors"]


def test_checkpoints_are_due_by_time_or_by_share(tmp_path):
    checkpoints = Checkpoints(tmp_path / "checkpoint.safetensors", torch.Generator(), "")
    assert not checkpoints.due(0.2)
    checkpoints.written -= 20.0
    assert checkpoints.due(0.2)
    assert not checkpoints.due(0.01)
    checkpoints.written -= 50.0
    assert checkpoints.due(0.01)


@pytest.mark.parametrize(("asked", "left"), [(0.99, 0.5), (0.0, 0.0)])
def test_time_is_left_for_refinement_where_half_time_is_poor(monkeypatch, asked, left):
    """A clock that only steps advance: 100 s of one second each, of which half may be left."""
    now = 0.0

    def step(progress: float) -> Loss:
        nonlocal now
        now += 1.0
        return Loss(model.weight.square().sum(), torch.randn(64, dtype=torch.float64))

    model = torch.nn.Linear(1, 1)
    monkeypatch.setattr("boltzgen.training.clock.time.monotonic", lambda: now)
    stages = [Stage("only", 1.0, 1e-3, FunctionObjective(step), steady_from=1.0)]
    settings = TrainingConfig(budget_seconds=100.0)
    result = train(model, stages, settings, reserve=Reserve(30.0, asked))
    assert result.steps == pytest.approx(70 if left else 100, abs=1)
