"""The loop, on a target whose partition function is known in closed form."""

import math

import pytest
import torch

from boltzgen.errors import EvaluationError
from boltzgen.models.flow import FlowConfig, FlowModel
from boltzgen.objectives.cooling import Cooling
from boltzgen.objectives.objective import Loss
from boltzgen.objectives.reverse_kl import ReverseKL
from boltzgen.sampling.importance import effective_sample_size, log_mean_weight
from boltzgen.training.config import TrainingConfig
from boltzgen.training.plateau import Plateau
from boltzgen.training.stage import Stage
from boltzgen.training.trainer import train
from tests.models.toy_coordinates import TorusAndGaussian, ToyCoordinates
from tests.training.toy_objectives import FunctionObjective

CONFIG = FlowConfig(torsion_couplings=2, torsion_hidden=16, stiff_couplings=2, stiff_hidden=16)


def train_toy(seed: int, steps: int = 300):
    torch.manual_seed(seed)
    model, target = FlowModel(ToyCoordinates(2, 4), CONFIG).double(), TorusAndGaussian(2, 4, coupled=0.5)
    config = TrainingConfig(max_steps=steps, batch_size=256, learning_rate=5e-3, warmup_share=0.0)
    generator = torch.Generator().manual_seed(seed)
    objective = ReverseKL(model, target, 256, generator, Cooling(2.0, 0.3), config.outliers)
    stage = Stage("reverse KL", 1.0, config.learning_rate, objective, steady_from=0.3)
    return model, target, train(model, [stage], config)


def test_reverse_kl_reaches_the_target_and_its_partition_function():
    model, target, result = train_toy(0)
    assert result.steps == 300
    assert result.n_bad_steps == 0
    assert target.evaluations == 300 * 256
    with torch.no_grad():
        x, log_q = model.sample_with_log_prob(20_000, torch.Generator().manual_seed(9))
        log_weights = -target.reduced_energy(x) - log_q
    assert effective_sample_size(log_weights) / 20_000 > 0.9
    estimate = log_mean_weight(log_weights)
    assert abs(estimate.value - target.log_Z) < 4 * estimate.stderr


def test_a_seed_and_a_number_of_steps_repeat_a_run():
    first, _, _ = train_toy(3, steps=20)
    again, _, _ = train_toy(3, steps=20)
    for one, other in zip(first.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)


def test_gradients_that_are_never_finite_end_in_a_sentence():
    model = torch.nn.Linear(1, 1)
    stage = Stage("hopeless", 1.0, 1e-3, FunctionObjective(lambda _: Loss(model.weight.sum() * math.nan)))
    with pytest.raises(EvaluationError, match="training diverged"):
        train(model, [stage], TrainingConfig(max_steps=100))


def test_a_stage_of_few_steps_leaves_its_share_to_the_next():
    model = torch.nn.Linear(1, 1)
    seen: dict[str, list[float]] = {"short": [], "long": []}

    def stage(name: str, most_steps: int | None) -> Stage:
        def loss(progress: float) -> Loss:
            seen[name].append(progress)
            return Loss(model.weight.square().sum())

        return Stage(name, 0.5, 1e-3, FunctionObjective(loss), most_steps=most_steps)

    result = train(model, [stage("short", 5), stage("long", None)], TrainingConfig(max_steps=40))
    assert result.steps == 40
    assert seen["short"] == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8])
    assert seen["long"] == pytest.approx([k / 35 for k in range(35)])


def first_plateau(divergence, n: int = 400, noise: float = 0.0) -> int | None:
    """The look at which a plateau is told of a reverse KL that falls as ``divergence`` does, if any."""
    generator = torch.Generator().manual_seed(4)
    plateau = Plateau()
    for k in range(n):
        factor = 1.0 + noise * float(torch.randn(1, generator=generator))
        if plateau.reached(0.5, factor * divergence(k)):
            return k
    return None


def test_a_plateau_is_told_soon_after_the_fall_has_ended():
    found = first_plateau(lambda k: max(1.0 - k / 50, 0.2), noise=0.01)
    assert found is not None
    assert 50 < found < 200


@pytest.mark.parametrize("noise", [0.0, 0.1, 0.3])
def test_a_slow_fall_in_noise_is_no_plateau(noise):
    assert first_plateau(lambda k: 4.0 * math.exp(-k / 200), noise=noise) is None


def test_a_module_has_the_learning_rate_that_it_asks_for():
    """Adam's first step is one of the learning rate, whatever the gradient."""
    model = torch.nn.Sequential(torch.nn.Linear(1, 1, bias=False), torch.nn.Linear(1, 1, bias=False))
    model[1].learning_rate_factor = 10.0
    before = [layer.weight.item() for layer in model]
    objective = FunctionObjective(lambda _: Loss(3.0 * model[0].weight.sum() + model[1].weight.sum()), model)
    train(model, [Stage("toy", 1.0, 0.2, objective)], TrainingConfig(max_steps=1))
    moved = [was - layer.weight.item() for was, layer in zip(before, model, strict=True)]
    # A twentieth in the first step; the average begins with the parameters before it.
    assert moved == pytest.approx([0.01 / 1.1, 0.1 / 1.1], rel=1e-3)
