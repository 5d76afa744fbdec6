"""On the device that --device names: energies, layers, dynamics and runs; some of it on a GPU alone.

    scripts/test --device cuda

The CPU takes the part of the device otherwise, so that these tests are known to be sound.
"""

import copy

import pytest
import torch

from boltzgen.energies.backends.cuda_backend import CudaEnergy
from boltzgen.energies.compiler import compile_system
from boltzgen.energies.target import BoltzmannTarget
from boltzgen.progress import Stopwatch
from boltzgen.sampling.frames import FramesConfig, thermal_dynamics
from boltzgen.training.config import TrainingConfig
from boltzgen.training.executors.alone import Alone
from boltzgen.training.executors.recorded import Recorded
from boltzgen.training.families import untrained_model
from boltzgen.training.recipes import flow_stages
from boltzgen.training.trainer import train
from boltzgen.workflows.config import SampleConfig
from boltzgen.workflows.preparation import prepare
from boltzgen.workflows.training_data import energy_data

from ..energies import forces
from ..energies.oracle import batch_last, openmm_energy_and_gradient
from ..energies.test_energy import system_of_everything
from ..energies.test_forces import INTERPOLATING, positions

SETTINGS = {"torsion_couplings": 2, "torsion_hidden": 8, "stiff_couplings": 2, "stiff_hidden": 8}


@pytest.mark.parametrize("make", forces.FORCES, ids=lambda make: make.__name__)
def test_every_force_equals_openmm_on_a_gpu(make, gpu):
    system, x = forces.system_with(make), positions()
    energy = compile_system(system)
    value, gradient = energy.energy_and_gradient(batch_last(x).to(gpu))
    assert isinstance(energy._evaluators[torch.float64, value.device], CudaEnergy)
    expected, slope = (torch.as_tensor(part) for part in openmm_energy_and_gradient(system, x))
    tolerance = 1e-7 if make.__name__.startswith(INTERPOLATING) else 1e-9
    torch.testing.assert_close(value.cpu(), expected, rtol=tolerance, atol=tolerance)
    scale = float(slope.abs().max()) + 1.0
    torch.testing.assert_close(gradient.permute(2, 1, 0).cpu() / scale, slope / scale, rtol=0, atol=tolerance)


@pytest.mark.parametrize("batch", [1, 33, 1000, 40000])
def test_energies_of_any_batch_equal_the_cpus(batch, device):
    energy = compile_system(system_of_everything())
    x = batch_last(positions(50), torch.float32)[:, :, torch.arange(batch) % 50].contiguous()
    value, gradient = energy.energy_and_gradient(x.to(device))
    expected, slope = energy.energy_and_gradient(x[:, :, :50].double())
    scale = slope.abs().amax((0, 1))
    n = min(batch, 50)
    assert float(((value[:n].cpu() - expected).abs() / (expected.abs() + scale)).max()) < 1e-4
    assert float(((gradient[:, :, :n].cpu() - slope).abs() / scale).max()) < 1e-4
    again = energy.energy_and_gradient(x.to(device))
    assert torch.equal(again[0], value)
    assert torch.equal(again[1], gradient)


def test_energies_run_on_the_current_stream_and_in_graphs(gpu):
    energy = compile_system(system_of_everything())
    x = batch_last(positions(64), torch.float32).to(gpu)
    expected = energy.energy_and_gradient(x)[0]
    torch.cuda.synchronize()
    stream = torch.cuda.Stream(gpu)
    with torch.cuda.stream(stream):
        busy = torch.zeros(4096, 4096, device=gpu)
        for _ in range(50):
            busy = busy @ busy
        late = x + busy[0, 0]  # known only when the stream has come so far
        value = energy.energy_and_gradient(late)[0]
    stream.synchronize()
    torch.testing.assert_close(value, expected, rtol=0, atol=0)
    held, graph = torch.zeros_like(x), torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = energy.energy_and_gradient(held)[0]
    held.copy_(x)
    graph.replay()
    torch.testing.assert_close(captured, expected, rtol=0, atol=0)
    assert torch.cuda.current_device() == (gpu.index or 0)


@pytest.fixture(scope="module")
def problem(device):
    frames = FramesConfig(ladders=4, picoseconds=0.5, walkers=16, local_picoseconds=0.5)
    config = SampleConfig(molecule="OCCF", frames=frames, training=TrainingConfig(max_steps=1))
    return prepare(config, torch.Generator(device).manual_seed(0), Stopwatch())


def test_densities_equal_those_in_double_precision_on_the_cpu(problem, device):
    torch.manual_seed(0)
    model = untrained_model("flow", SETTINGS, problem)
    with torch.no_grad():
        x, log_q = model.sample_with_log_prob(64, torch.Generator(device).manual_seed(1))
        expected = copy.deepcopy(model).double().cpu().log_prob(x.double().cpu())
    torch.testing.assert_close(log_q.double().cpu(), expected, rtol=0, atol=5e-3)


def test_training_and_dynamics_run_there(problem, device):
    torch.manual_seed(0)
    generator = torch.Generator(device).manual_seed(2)
    model = untrained_model("flow", SETTINGS, problem)
    config = TrainingConfig(max_steps=40, batch_size=64, processes=1)
    result = train(model, flow_stages(model, energy_data(problem, model, generator), config), config)
    assert result.steps == 40
    assert result.n_bad_steps == 0
    dynamics = thermal_dynamics(problem.target, problem.masses, 0.002, 5.0)
    state, trajectory = dynamics.run(dynamics.init(problem.frames.within_conformers[:16], generator), 50)
    assert trajectory.replaced == 0
    assert state.positions.device.type == device.type


def test_no_step_waits_for_a_gpu(problem, gpu):
    generator = torch.Generator(gpu).manual_seed(3)
    model = untrained_model("flow", SETTINGS, problem)
    config = TrainingConfig(max_steps=4, batch_size=32)
    for stage in flow_stages(model, energy_data(problem, model, generator), config):
        executor = Alone(stage.objective, list(model.parameters()))
        executor.loss_and_gradient(0, 0.5)
        torch.cuda.set_sync_debug_mode("error")
        try:
            executor.loss_and_gradient(1, 0.5)
        finally:
            torch.cuda.set_sync_debug_mode("default")


def test_hot_energies_of_a_target_follow_its_positions(problem, device):
    target = BoltzmannTarget(problem.target.energy, 600.0)
    u = target.reduced_energy(problem.frames.within_conformers[:8])
    assert u.device.type == device.type
    torch.testing.assert_close(2.0 * u, problem.target.reduced_energy(problem.frames.within_conformers[:8]))


def test_recorded_steps_equal_those_that_are_not(problem, gpu):
    """From the same random numbers, by torch's graphs."""

    def losses(make):
        torch.manual_seed(0)
        model, generator = untrained_model("flow", SETTINGS, problem), torch.Generator(gpu).manual_seed(4)
        config = TrainingConfig(max_steps=4, batch_size=64, objective="reverse-kl", warmup_share=0.0)
        (stage,) = flow_stages(model, energy_data(problem, model, generator), config)
        with make(stage.objective, list(model.parameters())) as executor:
            return torch.stack([executor.loss_and_gradient(k, 1.0).value for k in range(20)])

    torch.testing.assert_close(losses(Recorded), losses(Alone), rtol=1e-4, atol=1e-4)
