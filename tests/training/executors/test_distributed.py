"""Training by processes of ``torchrun``: their gradient, and what happens when one dies."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from boltzgen.cli.train import is_launched
from boltzgen.errors import InputError
from boltzgen.training.config import TrainingConfig
from boltzgen.training.executors import choice
from boltzgen.training.executors.worker import reseed
from tests.training.executors.test_forked import SEED, STEP, toy

ROOT = Path(__file__).parents[3]
PROGRAM = """
import os, sys, time
import torch
from boltzgen.training.executors.distributed import Distributed, joined, serve
from tests.training.executors.test_forked import STEP, toy

torch.set_num_threads(1)
what, path = sys.argv[1:]
with joined() as is_first:
    if not is_first:
        if what == "die":
            with open(path, "w") as file:
                file.write(str(os.getpid()))
        serve()
    else:
        model, target, stage, config = toy()
        with Distributed(stage.objective, list(model.parameters())) as executor:
            for step in range(10**9 if what == "die" else 1):
                loss = executor.loss_and_gradient(STEP + step, 0.7)
        torch.save(
            {
                "value": loss.value,
                "log_weights": loss.log_weights,
                "evaluations": target.evaluations,
                "gradients": [parameter.grad for parameter in model.parameters()],
            },
            path,
        )
"""


def torchrun(*arguments, **pipes) -> subprocess.Popen:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.Popen(
        [*command, *map(str, arguments)], env=environment, text=True, stderr=subprocess.PIPE, **pipes
    )


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return path


def test_gradient_of_two_ranks_is_that_of_the_joined_batch(program, tmp_path):
    path = tmp_path / "found.pt"
    with torchrun(program, "once", path) as process:
        _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    found = torch.load(path)
    losses, gradients = [], []
    for rank in range(2):
        model, _, stage, config = toy()
        if rank:
            reseed(stage.objective.generator, SEED, STEP, rank)
        loss = stage.objective.loss(0.7)
        loss.value.backward()
        losses.append(loss)
        gradients.append([parameter.grad for parameter in model.parameters()])
    assert found["evaluations"] == 2 * config.batch_size
    assert torch.equal(found["log_weights"], torch.cat([loss.log_weights for loss in losses]))
    mean = torch.stack([loss.value.detach() for loss in losses]).mean()
    torch.testing.assert_close(found["value"], mean, rtol=1e-12, atol=0)
    for ours, *parts in zip(found["gradients"], *gradients, strict=True):
        torch.testing.assert_close(ours, torch.stack(parts).mean(0), rtol=1e-10, atol=1e-13)


def test_death_of_a_rank_ends_all_with_a_sentence(program, tmp_path):
    path = tmp_path / "pid"
    with torchrun(program, "die", path) as process:
        deadline = time.monotonic() + 60.0
        while not path.exists() or not path.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.1)
        time.sleep(2.0)  # some steps
        os.kill(int(path.read_text()), signal.SIGKILL)
        _, said = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "a process of the training has died or is out of reach" in said


def test_processes_of_its_own_are_refused_under_torchrun(monkeypatch):
    monkeypatch.setattr(choice, "is_joined", lambda: True)
    model, _, stage, _ = toy()
    with pytest.raises(InputError, match="torchrun"):
        choice.executor_for(stage.objective, list(model.parameters()), TrainingConfig(processes=2))


@pytest.mark.parametrize(
    ("environment", "several"),
    [({}, False), ({"WORLD_SIZE": "2"}, False), ({"WORLD_SIZE": "1", "MASTER_ADDR": "here"}, False),
     ({"WORLD_SIZE": "2", "MASTER_ADDR": "here"}, True)],
)  # fmt: skip
def test_processes_of_torchrun_are_known_by_their_environment(environment, several):
    assert is_launched(environment) is several
