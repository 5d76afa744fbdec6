"""Forces left to OpenMM in worker processes: right numbers, and failures that reach the caller."""

import multiprocessing
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import openmm
import pytest
import torch

from boltzgen.energies import Energy
from boltzgen.energies.bridge import process as worker_process
from boltzgen.energies.bridge.term import BridgeTerm, _Pool
from boltzgen.energies.compiler import compile_system
from boltzgen.errors import EvaluationError, InputError

from .forces import N_ATOMS, harmonic_bond, particles
from .oracle import assert_equal_to_openmm, batch_last


def unknown_force() -> openmm.Force:
    force = openmm.CustomCentroidBondForce(2, "k*distance(g1,g2)^2")
    force.addPerBondParameter("k")
    force.addGroup([0, 1, 2])
    force.addGroup([4, 5])
    force.addBond([0, 1], [10.0])
    return force


def bridged_system() -> openmm.System:
    system = particles()
    system.addForce(harmonic_bond())
    system.addForce(unknown_force())
    return system


def positions(n: int = 7) -> np.ndarray:
    return 0.2 * np.random.default_rng(1).normal(size=(n, N_ATOMS, 3))


@pytest.mark.parametrize("compiled", [False, True])
def test_unknown_force_is_computed_by_openmm_and_says_so(compiled):
    system = bridged_system()
    with pytest.warns(UserWarning, match="CustomCentroidBondForce"):
        energy = compile_system(system, compiled=compiled)
    assert_equal_to_openmm(energy, system, positions())
    single, slope = energy.energy_and_gradient(batch_last(positions(), torch.float32))
    double, exact = energy.energy_and_gradient(batch_last(positions()))
    torch.testing.assert_close(single.double(), double, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(slope.double(), exact, rtol=1e-4, atol=1e-3 * float(exact.abs().max()))


def term(**options) -> BridgeTerm:
    system = particles()
    system.addForce(unknown_force())
    return BridgeTerm("bridge", openmm.XmlSerializer.serialize(system), workers=2, **options)


def test_positions_that_are_not_finite_give_infinite_energy():
    frames = positions(3)
    frames[1, 0, 0] = np.nan
    energy, gradient = term().energy_and_gradient(batch_last(frames))
    assert torch.isinf(energy).tolist() == [False, True, False]
    assert bool(torch.isfinite(gradient).all())


def test_dead_worker_is_reported_and_replaced():
    bridge = term()
    x = batch_last(positions())
    expected, _ = bridge.energy_and_gradient(x)
    for worker in bridge._pool.workers:
        os.kill(worker.process.pid, signal.SIGKILL)
    with pytest.raises(EvaluationError, match="died"):
        bridge.energy_and_gradient(x)
    torch.testing.assert_close(bridge.energy_and_gradient(x)[0], expected)


@pytest.mark.parametrize("batch", [7, 20_000], ids=["few", "more than the socket holds"])
def test_worker_that_hangs_is_reported(batch):
    bridge = term()
    bridge.energy_and_gradient(batch_last(positions()))
    pool = bridge._pool
    pool.timeout = 0.5
    for worker in pool.workers:
        os.kill(worker.process.pid, signal.SIGSTOP)
    with pytest.raises(EvaluationError, match="did not answer"):
        bridge.energy_and_gradient(batch_last(positions(batch)))


def test_worker_that_hangs_from_its_start_is_reported(monkeypatch):
    started = []

    class Waiting(worker_process.subprocess.Popen):
        def __init__(self, command, **options):
            started.append(command)
            super().__init__(["sleep", "600"], **options)

    monkeypatch.setattr(worker_process.subprocess, "Popen", Waiting)
    bridge = term(timeout=0.5)
    bridge.xml += " " * 2_000_000
    with pytest.raises(EvaluationError, match="did not answer"):
        bridge.energy_and_gradient(batch_last(positions()))
    assert len(started) == 2


def test_threads_share_the_workers():
    bridge = term()
    frames = [positions(n) for n in (3, 40, 11, 25)]
    expected = [bridge.energy_and_gradient(batch_last(x))[0] for x in frames]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda x: bridge.energy_and_gradient(batch_last(x))[0], frames * 5))
    for value, reference in zip(found, expected * 5, strict=True):
        torch.testing.assert_close(value, reference, rtol=0, atol=0)


def test_forked_process_has_workers_of_its_own():
    bridge = term()
    x = batch_last(positions())
    expected, _ = bridge.energy_and_gradient(x)
    own = [worker.process.pid for worker in bridge._pool.workers]
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()

    def in_child():
        energy, _ = bridge.energy_and_gradient(x)
        answers.put((energy.tolist(), [worker.process.pid for worker in bridge._pool.workers]))
        bridge._pool.close()

    child = context.Process(target=in_child)
    with bridge._turn:  # held at the fork, and never released in the child
        child.start()
    child.join(60)
    assert child.exitcode == 0
    energy, others = answers.get()
    assert energy == expected.tolist()
    assert not set(own) & set(others)
    torch.testing.assert_close(bridge.energy_and_gradient(x)[0], expected, rtol=0, atol=0)
    assert [worker.process.pid for worker in bridge._pool.workers] == own


def test_platform_is_measured_once(monkeypatch):
    measured = []
    original = _Pool.faster_platform

    def counted(pool, frame):
        assert np.isfinite(frame).all()
        measured.append(original(pool, frame))
        return measured[-1]

    monkeypatch.setattr(_Pool, "faster_platform", counted)
    bridge = term()
    frames = positions(50)
    frames[0, 0, 0] = np.inf
    for _ in range(2):
        bridge.energy_and_gradient(batch_last(frames, torch.float32))
    bridge._pool.close()
    bridge.energy_and_gradient(batch_last(frames, torch.float32))
    assert len(measured) == 1
    assert measured[0] in ("Reference", "CPU")


def test_openmm_error_reaches_the_caller():
    system = particles()
    force = openmm.CustomCentroidBondForce(2, "nonsense(1)")
    force.addGroup([0])
    force.addGroup([1])
    force.addBond([0, 1])
    system.addForce(force)
    bridge = BridgeTerm("bridge", openmm.XmlSerializer.serialize(system), workers=1)
    with pytest.raises(EvaluationError, match="nonsense"):
        bridge.energy_and_gradient(batch_last(positions()))


def pull(state) -> tuple[float, np.ndarray]:
    x = state.getPositions(asNumpy=True)._value
    return float((x**2).sum()), -2 * x


def python_system() -> openmm.System:
    system = particles()
    system.addForce(openmm.PythonForce(pull))
    return system


@pytest.mark.filterwarnings("ignore:PythonForce")
def test_function_of_the_program_itself_is_bridged(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    energy = compile_system(python_system(), compiled=False)
    x = batch_last(positions())
    torch.testing.assert_close(energy(x), (x**2).sum((0, 1)))


@pytest.mark.filterwarnings("ignore:PythonForce")
def test_function_in_a_saved_energy_is_refused(tmp_path):
    compile_system(python_system(), compiled=False).save(tmp_path / "energy.pt")
    with pytest.raises(InputError, match="PythonForce"):
        Energy.load(tmp_path / "energy.pt")


def test_saved_energy_keeps_its_bridge(tmp_path):
    with pytest.warns(UserWarning, match="CustomCentroidBondForce"):
        energy = compile_system(bridged_system(), compiled=False)
    energy.save(tmp_path / "energy.pt")
    x = batch_last(positions())
    torch.testing.assert_close(Energy.load(tmp_path / "energy.pt", compiled=False)(x), energy(x))


@pytest.mark.filterwarnings("ignore:.*computed by OpenMM itself")
def test_global_parameters_reach_bridged_forces():
    """A force's own parameter and one of a force within it."""
    inner = openmm.CustomBondForce("s*r")
    inner.addGlobalParameter("s", 3.0)
    inner.addBond(0, 1, [])
    force = openmm.CustomCVForce("a*k")
    force.addGlobalParameter("k", 2.0)
    force.addCollectiveVariable("a", inner)
    system = particles()
    system.addForce(force)
    x = batch_last(positions())
    usual = compile_system(system, compiled=False)(x)
    given = compile_system(system, compiled=False, global_parameters={"k": 8.0, "s": -1.5})(x)
    torch.testing.assert_close(given, -2 * usual)
    with pytest.raises(InputError, match="there are k, s"):
        compile_system(system, global_parameters={"b": 1.0})


def test_function_that_cannot_be_sent_is_refused():
    system = particles()
    system.addForce(openmm.PythonForce(lambda state: pull(state)))
    with pytest.raises(InputError, match="another process"):
        compile_system(system)
