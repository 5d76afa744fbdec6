"""Training goes back to its best state when it diverges, and never ends worse than it began."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from boltzgen.energies.target import EvaluationCounter
from boltzgen.models.flow import FlowConfig, FlowModel
from boltzgen.models.model import Internal
from boltzgen.objectives.cooling import Cooling
from boltzgen.objectives.likelihood import Likelihood
from boltzgen.objectives.objective import Loss
from boltzgen.objectives.reverse_kl import ReverseKL
from boltzgen.sampling.importance import effective_sample_size
from boltzgen.training.checkpoint import Checkpoints, fingerprint
from boltzgen.training.config import TrainingConfig
from boltzgen.training.data import TrainingData
from boltzgen.training.guard import LOOK_EVERY, MARGIN, MOST_DIVERGENCES
from boltzgen.training.held_out import HeldOutMeasure
from boltzgen.training.result import TrainingResult
from boltzgen.training.stage import Stage
from boltzgen.training.trainer import train
from tests.models.toy_coordinates import TorusAndGaussian, ToyCoordinates
from tests.objectives.two_modes import TwoModes, mode_frames, one_mode_model
from tests.training.toy_objectives import FunctionObjective, KilledError, counted

CONFIG = FlowConfig(torsion_couplings=2, torsion_hidden=16, stiff_couplings=2, stiff_hidden=16)
SETTINGS = TrainingConfig(max_steps=320, batch_size=128, learning_rate=5e-3, warmup_share=0.0)


def uphill(value: torch.Tensor) -> torch.Tensor:
    return -1e3 * value


class Toy:
    """A flow, its target with frames of it, and one stage of reverse KL."""

    def __init__(self, learning_rate: float = 5e-3) -> None:
        torch.manual_seed(0)
        self.model = FlowModel(ToyCoordinates(2, 4), CONFIG).double()
        self.target = TorusAndGaussian(2, 4, coupled=0.5)
        self.target.counter = EvaluationCounter()
        self.generator = torch.Generator().manual_seed(1)
        x = self.model.sample_with_log_prob(4000, self.generator)[0].detach().flatten(1)
        weights = (-self.target.reduced_energy(x.view(4000, -1, 3))).softmax(0)
        x = x[torch.multinomial(weights, 500, generator=self.generator)]
        data = TrainingData(self.target, self.generator, Internal(x[:, :2], x[:, 2:]))
        self.measure = HeldOutMeasure(self.model, data)
        objective = ReverseKL(self.model, self.target, 128, self.generator, Cooling(), SETTINGS.outliers)
        self.stages = [Stage("reverse KL", 1.0, learning_rate, objective)]

    def train(self, guarded: bool = True, settings: TrainingConfig = SETTINGS, **options) -> TrainingResult:
        measure = self.measure if guarded else None
        return train(self.model, self.stages, settings, measure=measure, **options)

    def sabotage(self, steps: range, harm) -> None:
        """The loss of ``steps``, counted from 0, is what ``harm`` makes of it."""
        loss, calls = self.stages[0].objective.loss, 0

        def sabotaged(progress: float) -> Loss:
            nonlocal calls
            found, calls = loss(progress), calls + 1
            return replace(found, value=harm(found.value)) if calls - 1 in steps else found

        self.stages[0].objective.loss = sabotaged

    @property
    def ess_fraction(self) -> float:
        with torch.no_grad():
            x, log_q = self.model.sample_with_log_prob(4000, torch.Generator().manual_seed(9))
            return effective_sample_size(-self.target.reduced_energy(x) - log_q) / 4000


def test_a_sound_training_is_the_same_to_the_bit_with_and_without_guard():
    guarded, free = Toy(), Toy()
    results = guarded.train(), free.train(guarded=False)
    assert results[0].n_divergences == 0
    for one, other in zip(guarded.model.parameters(), free.model.parameters(), strict=True):
        assert torch.equal(one, other)
    assert [row[1:] for row in results[0].history] == [row[1:] for row in results[1].history]


def test_a_planted_explosion_is_noticed_soon_and_undone():
    toy, free = Toy(), Toy()
    for one in (toy, free):
        one.sabotage(range(130, 230), uphill)
    before = toy.measure()
    result = toy.train()
    assert result.n_divergences >= 1
    bad = next(row for row in result.history if row[3] > 20.0)
    again = next(row for row in result.history if row[1] > bad[1] and row[3] < 2.0)
    assert again[1] - bad[1] <= LOOK_EVERY
    free.train(guarded=False)
    assert toy.measure() < before - 1.0
    assert toy.ess_fraction > 0.8 > free.ess_fraction


def test_a_learning_rate_far_too_large_ends_no_worse_than_the_start():
    toy, free = Toy(learning_rate=3.0), Toy(learning_rate=3.0)
    before = toy.measure()
    free.train(guarded=False)
    result = toy.train()
    assert result.n_divergences >= 1
    assert toy.measure() <= before < free.measure()


def test_a_drift_too_small_for_a_divergence_does_not_add_up_over_stages():
    toy, free = Toy(learning_rate=5e-5), Toy(learning_rate=5e-5)
    for one in (toy, free):
        one.stages *= 3
        one.sabotage(range(10_000), uphill)
    before = toy.measure()
    few_steps = SETTINGS.model_copy(update={"max_steps": 96})
    free.train(guarded=False, settings=few_steps)
    assert toy.train(settings=few_steps).n_divergences == 0
    assert before < free.measure() < before + MARGIN
    assert toy.measure() <= before


def test_gradients_that_are_not_finite_any_more_leave_the_best_state():
    toy = Toy()
    toy.sabotage(range(150, 10_000), lambda value: value * math.nan)
    before = toy.measure()
    result = toy.train(settings=SETTINGS.model_copy(update={"max_steps": 1000}))
    assert result.n_divergences == MOST_DIVERGENCES
    assert result.steps == 150 + 50 * MOST_DIVERGENCES
    assert toy.measure() < before - 1.0


def test_without_a_density_the_last_state_looked_at_is_kept():
    model = nn.Linear(1, 1, bias=False)
    calls = 0

    def loss(progress: float) -> Loss:
        nonlocal calls
        calls += 1
        return Loss(model.weight.sum() * (1.0 if calls <= 100 else math.nan))

    stages = [Stage("toy", 1.0, 1e-2, FunctionObjective(loss, model))]
    result = train(model, stages, TrainingConfig(max_steps=400))
    assert result.n_divergences == MOST_DIVERGENCES
    assert result.steps == 100 + 50 * MOST_DIVERGENCES
    assert bool(torch.isfinite(model.weight).all())


def test_the_guard_is_resumed_to_the_bit(tmp_path):
    whole, killed_at = Toy(), 200
    whole.sabotage(range(130, 230), uphill)
    result = whole.train()
    for kill in (killed_at, None):
        toy = Toy()
        checkpoints = Checkpoints(
            tmp_path / "checkpoint.pt", toy.generator, fingerprint(toy.model, torch.zeros(1))
        )
        checkpoints.due = lambda used: used > 0.6
        first = 0 if kill else killed_at - 1
        toy.sabotage(range(130 - first, 230 - first), uphill)
        counted(toy.stages, kill)
        if kill:
            with pytest.raises(KilledError):
                toy.train(checkpoints=checkpoints)
    again = toy.train(checkpoints=checkpoints)
    assert again.n_divergences == result.n_divergences > 0
    for one, other in zip(whole.model.parameters(), toy.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_measure_sees_a_dropped_mode_that_reverse_kl_does_not():
    """A flow in one of two modes: its samples look perfect, half of the measure, up to ln 0.7."""
    target, generator = TwoModes(), torch.Generator().manual_seed(1)
    parts = [mode_frames(mode, n, generator) for mode, n in ((0, 700), (1, 300))]
    frames = Internal(*(torch.cat(pair) for pair in zip(*parts, strict=True)))
    model = one_mode_model(100)
    one_mode = HeldOutMeasure(model, TrainingData(target, generator, parts[0]))()
    measure = HeldOutMeasure(model, TrainingData(target, generator, frames))
    before = measure()
    assert before > one_mode + 2.0
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    objective = Likelihood(model, frames, 256, generator)
    for _ in range(100):
        optimizer.zero_grad()
        objective.loss(0.0).value.backward()
        optimizer.step()
    assert measure() < before - 2.0


def test_the_measure_of_a_perfect_model_is_the_entropy_less_ln_z():
    """q = p = f: E_q[log q + u] = −ln Z, and E_f[−log q] is the entropy, in closed form for normal frames."""
    target = TorusAndGaussian(2, 4, kappa=0.0)
    target.sigma = torch.ones(4, dtype=torch.float64)
    target.counter = EvaluationCounter()
    generator = torch.Generator().manual_seed(1)
    model = FlowModel(ToyCoordinates(2, 4), CONFIG).double()
    frames = model.sample_latent(20_000, generator)
    measure = HeldOutMeasure(model, TrainingData(target, generator, frames))
    entropy = 2 * math.log(2 * math.pi) + 2 * math.log(2 * math.pi * math.e)
    log_z = 2 * math.log(2 * math.pi) + 2 * math.log(2 * math.pi)
    assert measure() == pytest.approx(entropy - log_z, abs=4 * math.sqrt(2.0 / 1024))
    assert measure() == measure()
