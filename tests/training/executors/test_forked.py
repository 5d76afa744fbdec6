"""Gradients of several processes, their random numbers, and what happens when one goes wrong."""

import copy
import os
import signal
import threading
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest
import torch

from boltzgen.errors import EvaluationError, InputError
from boltzgen.models.flow import FlowModel
from boltzgen.objectives.cooling import Cooling
from boltzgen.objectives.objective import Loss
from boltzgen.objectives.reverse_kl import ReverseKL
from boltzgen.training.checkpoint import Checkpoints, fingerprint
from boltzgen.training.config import TrainingConfig
from boltzgen.training.executors import team
from boltzgen.training.executors.alone import Alone
from boltzgen.training.executors.choice import executor_for, n_processes
from boltzgen.training.executors.forked import Forked
from boltzgen.training.executors.spawned import Spawned
from boltzgen.training.executors.worker import reseed
from boltzgen.training.stage import Stage
from boltzgen.training.trainer import train
from tests.models.toy_coordinates import ToyCoordinates
from tests.objectives.two_modes import N_STIFF, N_TORSIONS, SMALL, TwoModes, second_mode_weight
from tests.training.toy_objectives import FunctionObjective

SEED, STEP = 5, 12
SETTINGS = TrainingConfig(batch_size=128, warmup_share=0.0, learning_rate=5e-3, hot_factor=4.0)


def children() -> set[int]:
    """Processes that this one has started and not waited for."""
    stats = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended since
            stats.append(path.read_text())
    # pid (name) state parent ...; a name may have brackets and blanks
    fields = [(text.split(" ", 1)[0], text.rsplit(")", 1)[1].split()) for text in stats]
    return {int(pid) for pid, (_, parent, *_) in fields if int(parent) == os.getpid()}


@pytest.fixture(autouse=True)
def _no_process_is_left():
    before = children()
    yield
    assert children() <= before
    assert torch.get_num_threads() == 1


@cache
def untrained() -> FlowModel:
    torch.manual_seed(0)
    return FlowModel(ToyCoordinates(N_TORSIONS, N_STIFF), SMALL).double()


def toy(seed: int = SEED, **changes) -> tuple[FlowModel, TwoModes, Stage, TrainingConfig]:
    model, target = copy.deepcopy(untrained()), TwoModes()
    config = SETTINGS.model_copy(update=changes)
    generator = torch.Generator().manual_seed(seed)
    cooling = Cooling(config.hot_factor, config.anneal_share)
    objective = ReverseKL(model, target, config.batch_size, generator, cooling, config.outliers)
    stage = Stage("reverse KL", 1.0, config.learning_rate, objective, steady_from=config.anneal_share)
    return model, target, stage, config


def single(loss) -> tuple[torch.nn.Parameter, Stage]:
    """A stage that trains one number by ``loss(number)``."""
    number = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))
    generator = torch.Generator().manual_seed(SEED)
    objective = FunctionObjective(lambda progress: loss(number, generator), generator=generator)
    return number, Stage("toy", 1.0, 1e-2, objective)


@pytest.mark.parametrize("kind", [Forked, Spawned])
def test_gradient_is_the_mean_of_the_gradients_of_the_batches(kind):
    n = 3
    model, target, stage, config = toy()
    with kind(stage.objective, list(model.parameters()), n) as executor:
        found = executor.loss_and_gradient(STEP, 0.7)
    assert target.evaluations == n * config.batch_size
    assert len(found.log_weights) == n * config.batch_size

    values, weights, gradients = [], [], []
    for rank in range(n):
        alone, _, stage, _ = toy()
        if rank:
            reseed(stage.objective.generator, SEED, STEP, rank)
        loss = stage.objective.loss(0.7)
        loss.value.backward()
        values.append(loss.value.detach())
        weights.append(loss.log_weights)
        gradients.append([p.grad for p in alone.parameters()])
    assert torch.allclose(found.value, torch.stack(values).mean(), rtol=1e-12)
    assert torch.equal(found.log_weights, torch.cat(weights))
    for parameter, *parts in zip(model.parameters(), *gradients, strict=True):
        assert torch.allclose(parameter.grad, torch.stack(parts).mean(0), rtol=1e-12, atol=1e-14)
    assert not torch.equal(weights[1], weights[2])


def test_parameters_that_no_batch_depends_on_have_no_gradient():
    """In the game of two players the one that does not move must not: Adam would move it on a zero."""
    used, idle = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    generator = torch.Generator()
    stage = Stage("toy", 1.0, 1e-2, FunctionObjective(lambda _: Loss(used.sum()), generator=generator))
    with Forked(stage.objective, [used, idle], 2) as executor:
        for step in range(2):
            executor.loss_and_gradient(step, 0.0)
    assert torch.equal(used.grad, torch.ones(2))
    assert idle.grad is None


def trained(path=None, steps=24, **changes):
    model, target, stage, config = toy(processes=2, max_steps=steps, **changes)
    checkpoints = None
    if path is not None:
        checkpoints = Checkpoints(path, stage.objective.generator, fingerprint(model, torch.zeros(1)))
        checkpoints.due = lambda used: True
    return model, target, train(model, [stage], config, checkpoints=checkpoints)


def test_a_seed_repeats_a_run_of_several_processes():
    model, target, result = trained()
    again, _, _ = trained()
    assert result.processes == 2
    assert target.evaluations == 2 * 24 * SETTINGS.batch_size
    for one, other in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_run_that_was_cut_short_goes_on_with_the_same_random_numbers(tmp_path, monkeypatch):
    whole, _, _ = trained()
    path, steps = tmp_path / "checkpoint.safetensors", 0
    differentiated = Forked.loss_and_gradient

    def cut(executor, step, progress):
        nonlocal steps
        steps += 1
        if steps == 10:
            raise KeyboardInterrupt
        return differentiated(executor, step, progress)

    monkeypatch.setattr(Forked, "loss_and_gradient", cut)
    with pytest.raises(KeyboardInterrupt):
        trained(path)
    resumed, _, result = trained(path)
    assert result.steps == 24
    assert steps == 10 + 24 - 9
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)


def test_two_processes_reach_the_target():
    model, target, result = trained(steps=250)
    assert result.n_bad_steps == 0
    with torch.no_grad():
        x, log_q = model.sample_with_log_prob(20_000, torch.Generator().manual_seed(9))
        log_weights = -target.reduced_energy(x) - log_q
    assert float(log_weights.logsumexp(0)) - torch.tensor(20_000.0).log() == pytest.approx(0.8, abs=0.03)
    assert second_mode_weight(model) == pytest.approx(0.3, abs=0.05)


def test_a_worker_that_raises_ends_the_training_with_its_message():
    owner = os.getpid()

    def loss(number, generator):
        if os.getpid() != owner:
            raise EvaluationError("the well ran dry")
        return Loss(number.sum())

    number, stage = single(loss)
    with (
        pytest.raises(EvaluationError, match="the well ran dry") as raised,
        Forked(stage.objective, [number], 2) as executor,
    ):
        executor.loss_and_gradient(0, 0.0)
    assert "in loss" in raised.value.__notes__[0]


@pytest.mark.parametrize("busy", [True, False])
def test_a_worker_that_is_killed_is_told_of(busy):
    owner = os.getpid()

    def loss(number, generator):
        if busy and os.getpid() != owner:
            os.kill(os.getpid(), signal.SIGKILL)
        return Loss(number.sum())

    number, stage = single(loss)
    with Forked(stage.objective, [number], 3) as executor:
        if not busy:
            os.kill(executor.team.workers[0].pid, signal.SIGKILL)
        with pytest.raises(EvaluationError, match="died of SIGKILL"):
            executor.loss_and_gradient(0, 0.0)


def test_a_worker_that_hangs_is_not_waited_for(monkeypatch):
    owner = os.getpid()

    def loss(number, generator):
        if os.getpid() != owner:
            time.sleep(1000.0)
        return Loss(number.sum())

    monkeypatch.setattr(team, "TIMEOUT", 0.2)
    monkeypatch.setattr(team, "HEARTBEAT", 0.05)
    number, stage = single(loss)
    with (
        pytest.raises(EvaluationError, match=r"did not answer within 0\.2 s"),
        Forked(stage.objective, [number], 2) as executor,
    ):
        executor.loss_and_gradient(0, 0.0)


def test_workers_end_when_the_main_process_is_killed(tmp_path):
    """Even those that are idle: the other end of their pipe is gone, and no sibling holds it open."""
    number, stage = single(lambda number, generator: Loss(number.sum()))
    told, tell = os.pipe()
    main = os.fork()
    if main == 0:
        with Forked(stage.objective, [number], 3) as executor:
            executor.loss_and_gradient(0, 0.0)
            os.write(tell, b"*")
            os.kill(os.getpid(), signal.SIGKILL)
    os.close(tell)
    assert os.read(told, 1) == b"*"
    assert os.read(told, 1) == b""  # every process that held the pipe has ended
    os.close(told)
    os.waitpid(main, 0)


def test_one_batch_that_is_not_finite_makes_a_bad_step():
    owner = os.getpid()

    def loss(number, generator):
        return Loss(number.sum() * (1.0 if os.getpid() == owner else float("nan")))

    number, stage = single(loss)
    module = torch.nn.ParameterList([number])
    with pytest.raises(EvaluationError, match="training diverged"):
        train(module, [stage], TrainingConfig(max_steps=100, processes=2))
    assert number.item() == 1.0


def test_a_worker_that_is_stopped_is_noticed_soon(monkeypatch):
    monkeypatch.setattr(team, "MOST_STOPPED", 0.3)
    monkeypatch.setattr(team, "HEARTBEAT", 0.05)
    number, stage = single(lambda number, generator: Loss(number.sum()))
    with Forked(stage.objective, [number], 2) as executor:
        executor.loss_and_gradient(0, 0.0)
        os.kill(executor.team.workers[0].pid, signal.SIGSTOP)
        with pytest.raises(
            EvaluationError, match=r"was stopped from outside and did not go on within 0\.3 s"
        ):
            executor.loss_and_gradient(1, 0.0)


def test_a_worker_that_goes_on_after_a_stop_is_waited_for(monkeypatch):
    monkeypatch.setattr(team, "HEARTBEAT", 0.05)
    number, stage = single(lambda number, generator: Loss(number.sum()))
    with Forked(stage.objective, [number], 2) as executor:
        pid = executor.team.workers[0].pid
        os.kill(pid, signal.SIGSTOP)
        resume = threading.Timer(0.3, os.kill, (pid, signal.SIGCONT))
        resume.start()
        found = executor.loss_and_gradient(0, 0.0)
        resume.join()
    assert float(found.value) == 1.0


def test_processes_are_for_losses_without_state_where_time_is_the_limit(monkeypatch):
    model, _, stage, config = toy()
    parameters, objective = list(model.parameters()), stage.objective
    stateful = FunctionObjective(objective.loss, sequential=True)
    timed = config.model_copy(update={"budget_seconds": 10.0})
    asked = config.model_copy(update={"processes": 3, "max_steps": 10})
    assert executor_for(objective, parameters, asked).n_processes == 3
    assert executor_for(stateful, parameters, asked).n_processes == 1
    assert n_processes(objective, timed) == 1  # as many as threads, and tests have one
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2})
    likelihood = FunctionObjective(objective.loss)
    assert n_processes(likelihood, timed) == 2
    assert n_processes(likelihood, asked.model_copy(update={"processes": None})) == 1
    assert isinstance(executor_for(likelihood, parameters, timed), Forked)


def test_a_visible_gpu_leaves_the_cpu_its_processes(monkeypatch):
    """Where a fork is not safe the objective is sent to new processes, if they can rebuild it."""
    model, _, stage, config = toy()
    parameters, asked = list(model.parameters()), config.model_copy(update={"processes": 3})
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    assert isinstance(executor_for(stage.objective, parameters, asked), Spawned)
    local = FunctionObjective(lambda progress: Loss(parameters[0].sum()))
    with pytest.raises(InputError, match="leave 'processes' out"):
        executor_for(local, parameters, asked)
    monkeypatch.setattr("boltzgen.training.executors.choice.n_processes", lambda objective, config: 2)
    assert isinstance(executor_for(local, parameters, config), Alone)


def test_several_processes_are_refused_on_a_gpu():
    _, _, stage, config = toy(processes=2)
    elsewhere = [torch.nn.Parameter(torch.empty(2, device="meta"))]
    with pytest.raises(InputError, match="leave 'processes' out"):
        executor_for(stage.objective, elsewhere, config)


def test_training_in_processes_follows_work_of_several_threads():
    """Threads of the parent, OpenMP's too, are not in a forked child, which must not wait for them."""
    torch.set_num_threads(2)
    try:
        big = torch.randn(600, 600, requires_grad=True)
        (big @ big).exp().sum().backward()
        model, _, stage, config = toy(processes=2, max_steps=3)
        train(model, [stage], config)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
