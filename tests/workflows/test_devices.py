"""A GPU is taken only after a check, what speaks against it is said, and too little memory halves a batch."""

from dataclasses import replace

import pytest
import torch

from boltzgen.errors import InputError
from boltzgen.progress import Stopwatch
from boltzgen.sampling.frames import FramesConfig
from boltzgen.training.config import TrainingConfig
from boltzgen.training.families import untrained_model
from boltzgen.training.result import TrainingResult
from boltzgen.workflows import devices, fitting
from boltzgen.workflows.config import SampleConfig
from boltzgen.workflows.devices import Differences, reason_against, select_device
from boltzgen.workflows.preparation import prepare
from boltzgen.workflows.training_data import energy_data

CPU = torch.device("cpu")
SMALL = Differences(1e-4, 1e-6, 1e-4)


@pytest.fixture(autouse=True)
def unasked():
    reason_against.cache_clear()
    yield
    reason_against.cache_clear()


@pytest.fixture
def seconds(monkeypatch):
    """Seconds of a step there, and on the CPU, which are told without taking any."""

    def told(there: float, here: float) -> None:
        answers = iter([there, here])
        monkeypatch.setattr(devices, "_step_seconds", lambda *_: next(answers))

    return told


def test_the_check_finds_single_precision_on_the_cpu_right(seconds):
    """The whole of it, but for the time that a step takes."""
    seconds(0.1, 0.2)
    assert reason_against(CPU) is None


@pytest.mark.parametrize(
    "wrong", [{"energy": 0.2}, {"force": 1e-2}, {"log_prob": 0.3}, {"log_prob": float("nan")}]
)
def test_a_device_that_computes_something_else_is_not_taken(monkeypatch, wrong):
    monkeypatch.setattr(devices, "differences", lambda *_: replace(SMALL, **wrong))
    assert "energies differ from the CPU's by" in reason_against(CPU)


def test_a_device_that_is_slower_than_all_processes_of_the_cpu_is_not_taken(monkeypatch, seconds):
    monkeypatch.setattr(devices, "differences", lambda *_: SMALL)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    seconds(0.05, 0.16)
    assert reason_against(CPU).startswith("a step of 1024 samples takes 50 ms there and 160 ms on the CPU")
    reason_against.cache_clear()
    seconds(0.03, 0.16)
    assert reason_against(CPU) is None


def test_a_device_that_fails_is_not_taken(monkeypatch):
    def failing(*_):
        raise RuntimeError("CUDA error: no kernel image is available\nCompile with ...")

    monkeypatch.setattr(devices, "differences", failing)
    assert reason_against(CPU) == "it failed (CUDA error: no kernel image is available)"


@pytest.mark.parametrize(("reason", "chosen"), [(None, "cuda"), ("it is slow", "cpu")])
def test_what_speaks_against_a_gpu_is_said(monkeypatch, reason, chosen):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(devices, "reason_against", lambda device: reason)
    said = []
    assert select_device("auto", said.append) == chosen
    assert said == ([] if reason is None else ["The GPU is not used: it is slow."])


def test_without_a_gpu_nothing_is_checked(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(devices, "reason_against", None)
    assert select_device("auto") == "cpu"
    with pytest.raises(InputError, match="give auto, cpu or cuda"):
        select_device("tpu")


@pytest.fixture(scope="module")
def problem():
    frames = FramesConfig(ladders=2, picoseconds=0.5, walkers=4, local_picoseconds=0.5)
    config = SampleConfig(molecule="OO", frames=frames, training=TrainingConfig(max_steps=1, batch_size=64))
    return config, prepare(config, torch.Generator().manual_seed(0), Stopwatch())


@pytest.mark.parametrize("times", [1, 2])
def test_a_batch_that_does_not_fit_into_the_gpu_is_halved_once(problem, monkeypatch, times):
    config, problem = problem
    model = untrained_model("flow", {}, problem)
    data, batches = energy_data(problem, model, torch.Generator().manual_seed(0)), []

    def train(model, stages, settings, *_):
        batches.append(settings.batch_size)
        if len(batches) <= times:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
        return TrainingResult()

    monkeypatch.setattr(fitting, "train", train)
    monkeypatch.setattr(fitting, "costs_a_wait", lambda device: True)
    watch = Stopwatch()
    if times == 1:
        fitting.fitted(config, problem, model, data, watch)
        assert watch.warnings == ["64 samples a step exceed the GPU's memory: 32 are taken."]
    else:
        with pytest.raises(RuntimeError, match="out of memory"):
            fitting.fitted(config, problem, model, data, watch)
    assert batches == [64, 32]
