"""Recorded steps, with a record that is made and repeated on the CPU, equal those that are not recorded."""

import pytest
import torch

from boltzgen.energies.target import EvaluationCounter
from boltzgen.errors import InputError
from boltzgen.models.flow import FlowConfig, FlowModel
from boltzgen.objectives.cooling import Cooling
from boltzgen.objectives.objective import Loss
from boltzgen.objectives.outliers import Outliers
from boltzgen.objectives.reverse_kl import ReverseKL
from boltzgen.training.config import TrainingConfig
from boltzgen.training.executors.alone import Alone
from boltzgen.training.executors.choice import executor_for
from boltzgen.training.executors.recorded import STEADY_STEPS, Recorded

from ..models.toy_coordinates import TorusAndGaussian, ToyCoordinates
from ..training.toy_objectives import FunctionObjective

CONFIG = FlowConfig(torsion_couplings=2, torsion_hidden=8, stiff_couplings=2, stiff_hidden=8)
COOLING = 0.4  # share of the steps with a schedule that moves


class Counted:
    """A target that counts its evaluations on the host."""

    def __init__(self):
        self.density, self.counter = TorusAndGaussian(2, 4, coupled=0.5), EvaluationCounter()

    def reduced_energy(self, x):
        self.counter.count += len(x)
        return self.density.reduced_energy(x)


class OnTheCPU:
    """A record as a CUDA graph makes it: it computes nothing while it is made, and the host nothing later."""

    def __init__(self, objective, parameters):
        self.objective, self.parameters, self.made, self.repeated = objective, parameters, 0, 0

    def __call__(self, work, generator):
        self.made += 1
        state = generator.get_state()
        loss, gradients = work(), [p.grad for p in self.parameters]
        generator.set_state(state)
        for tensor in (loss.value, loss.log_weights, *gradients):
            tensor.fill_(torch.nan)

        def again():
            self.repeated += 1
            counted = self.objective.target.counter.count
            fresh = work()
            self.objective.target.counter.count = counted
            loss.value.copy_(fresh.value)
            loss.log_weights.copy_(fresh.log_weights)
            for kept, parameter in zip(gradients, self.parameters, strict=True):
                kept.copy_(parameter.grad)

        return loss, again


def steps(make, n=40):
    """Losses, weights and parameters of a training by hand, and the evaluations that were counted."""
    torch.manual_seed(0)
    model, target = FlowModel(ToyCoordinates(2, 4), CONFIG).double(), Counted()
    generator = torch.Generator().manual_seed(1)
    objective = ReverseKL(model, target, 32, generator, Cooling(2.0, COOLING), Outliers())
    parameters = list(model.parameters())
    optimizer, seen = torch.optim.SGD(parameters, lr=1e-3), []
    with make(objective, parameters) as executor:
        for k in range(n):
            loss = executor.loss_and_gradient(k, k / n)
            optimizer.step()
            seen += [loss.value, loss.log_weights]
    return [*seen, *(p.detach().clone() for p in parameters)], target.counter.count


def test_recorded_steps_equal_those_that_are_not():
    records = []

    def make(objective, parameters):
        records.append(OnTheCPU(objective, parameters))
        return Recorded(objective, parameters, records[0])

    found, counted = steps(make)
    expected, usual = steps(Alone)
    assert records[0].made == 1
    assert records[0].repeated == 40 - int(COOLING * 40) - STEADY_STEPS
    assert counted == usual == 40 * 32
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_an_objective_that_does_not_tell_its_schedule_is_never_recorded():
    weight = torch.nn.Parameter(torch.ones(2))
    objective = FunctionObjective(lambda _: Loss(weight.square().sum()))
    record = OnTheCPU(objective, [weight])
    executor = Recorded(objective, [weight], record)
    for k in range(20):
        executor.loss_and_gradient(k, 1.0)
    assert record.made == 0


def test_a_graph_without_a_gpu_is_refused():
    weight = torch.nn.Parameter(torch.ones(2))
    objective = FunctionObjective(lambda _: Loss(weight.sum()))
    with pytest.raises(InputError, match="CUDA graph needs a GPU"):
        executor_for(objective, [weight], TrainingConfig(cuda_graph=True))
