"""The energy as an operator of torch: torch's checks, tracing, handles, and second derivatives."""

import copy
import gc
import os
import pickle

import numpy as np
import pytest
import torch

from boltzgen.energies import BoltzmannTarget, operators
from boltzgen.energies.compiler import compile_system
from boltzgen.errors import EvaluationError

from . import forces
from .oracle import batch_last, openmm_energy_and_gradient
from .test_energy import positions, system_of_everything


@pytest.fixture(params=[False, True], ids=["torch", "compiled"])
def energy(request):
    return compile_system(forces.system_with(forces.nonbonded), compiled=request.param)


def test_torch_accepts_the_operator(energy):
    x = batch_last(positions(3)).requires_grad_()
    torch.library.opcheck(operators.energy.overload, (x, energy.handle))


@pytest.mark.usefixtures("unchecked_shapes")  # the checks are not what torch should trace
def test_energy_compiles_to_one_graph(energy):
    def sines(x):
        return energy(2 * x).sin()

    traced = torch.compile(sines, backend="aot_eager", fullgraph=True)
    gradients = []
    for function in (sines, traced):
        x = batch_last(positions(3)).requires_grad_()
        function(x).sum().backward()
        gradients.append(x.grad)
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))])
def test_copies_have_handles_of_their_own(energy, duplicate):
    other, x = duplicate(energy), batch_last(positions(3))
    expected = energy(x)
    assert other.handle != energy.handle
    (value, _) = torch.ops.boltzgen.energy(x, other.handle)
    torch.testing.assert_close(value, expected, rtol=0, atol=0)
    handle = other.handle
    del other
    gc.collect()
    with pytest.raises(EvaluationError, match="gone or belongs to another process"):
        torch.ops.boltzgen.energy(x, handle)
    torch.testing.assert_close(energy(x), expected, rtol=0, atol=0)


def test_a_forked_child_has_the_energy(energy):
    x = batch_last(positions(3))
    expected = energy(x)
    child = os.fork()
    if not child:  # no assertion here: the child must not run the rest of the tests
        os._exit(0 if torch.equal(energy(x), expected) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_moved_energies_follow_the_positions(energy):
    """It has no tensors of its own that could be left behind or rounded."""
    x = batch_last(positions(3))
    expected = energy(x)
    assert not list(energy.parameters()) + list(energy.buffers())
    single = energy.to("cpu", torch.float32).float()
    assert single(x.float()).dtype == torch.float32
    torch.testing.assert_close(single.double()(x), expected, rtol=0, atol=0)


def finite_differences(system, x, step=1e-5):
    """∂²U/∂x∂x [batch, atoms, 3, atoms, 3] by central differences of OpenMM's forces."""
    rows = []
    for atom, axis in np.ndindex(x.shape[1:]):
        shift = np.zeros_like(x)
        shift[:, atom, axis] = step
        up, down = (openmm_energy_and_gradient(system, x + sign * shift)[1] for sign in (1, -1))
        rows.append((up - down) / (2 * step))
    return np.stack(rows, 1).reshape(len(x), *x.shape[1:], *x.shape[1:])


SMOOTH = [
    forces.nonbonded,
    forces.harmonic_angle,
    forces.periodic_torsion,
    forces.cmap,
    forces.gbsa_obc,
    forces.custom_gb,
    forces.custom_torsion,
]


@pytest.mark.parametrize("make", SMOOTH)
def test_hessian_equals_differences_of_openmm_forces(make):
    system = forces.system_with(make)
    target = BoltzmannTarget(compile_system(system), 300.0)
    x = np.random.default_rng(3).normal(size=(2, forces.N_ATOMS, 3))
    expected = finite_differences(system, x)
    found = target.hessian(torch.tensor(x)).numpy() * target.kT
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())
    np.testing.assert_allclose(found, found.transpose(0, 3, 4, 1, 2), rtol=1e-9, atol=1e-9)
    assert target.evaluations == 2


@pytest.mark.parametrize("compiled", [False, True])
def test_autograd_finds_the_same_hessian(compiled):
    target = BoltzmannTarget(compile_system(system_of_everything(), compiled=compiled), 300.0)
    x = torch.tensor(positions(1))
    found = torch.autograd.functional.hessian(lambda x: target.reduced_energy(x).sum(), x)
    torch.testing.assert_close(found[0, :, :, 0], target.hessian(x)[0])


def test_hessian_of_impossible_positions_is_zero_and_spoils_no_other():
    target = BoltzmannTarget(compile_system(forces.system_with(forces.nonbonded)), 300.0)
    x = torch.tensor(positions(3))
    alone = target.hessian(x[:1])
    x[1, 0] = torch.nan
    x[2] = 0.0
    found = target.hessian(x)
    torch.testing.assert_close(found[:1], alone)
    assert found[1:].abs().max() == 0
