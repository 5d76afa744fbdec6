"""Forces left to OpenMM in worker processes: right numbers, and failures that reach the caller."""

import os
import signal

import numpy as np
import openmm
import pytest
import torch

from boltzgen.energies.bridge import BridgeTerm
from boltzgen.energies.compiler import compile_system
from boltzgen.errors import EvaluationError

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
    for worker in bridge._pools[torch.float64].workers:
        os.kill(worker.process.pid, signal.SIGKILL)
    with pytest.raises(EvaluationError, match="died"):
        bridge.energy_and_gradient(x)
    torch.testing.assert_close(bridge.energy_and_gradient(x)[0], expected)


def test_worker_that_hangs_is_reported():
    bridge = term()
    x = batch_last(positions())
    bridge.energy_and_gradient(x)
    pool = bridge._pools[torch.float64]
    pool.timeout = 0.5
    for worker in pool.workers:
        os.kill(worker.process.pid, signal.SIGSTOP)
    with pytest.raises(EvaluationError, match="did not answer"):
        bridge.energy_and_gradient(x)


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
