"""What each objective does to a flow that knows one of two modes; stages, counts and refusals."""

import copy
from functools import cache

import pytest
import torch

from boltzgen.errors import InputError
from boltzgen.models.flow import FlowModel
from boltzgen.models.model import Internal
from boltzgen.objectives.guided import ConformerFrames
from boltzgen.objectives.walkers import Walkers
from boltzgen.sampling.dynamics import Langevin
from boltzgen.sampling.importance import effective_sample_size, log_mean_weight
from boltzgen.training.config import (
    AnnealedConfig,
    GuidedConfig,
    MassCoveringConfig,
    TrainingConfig,
    WalkersConfig,
)
from boltzgen.training.data import TrainingData
from boltzgen.training.recipes import flow_stages
from boltzgen.training.result import TrainingResult
from boltzgen.training.trainer import train
from tests.objectives.two_modes import TwoModes, mode_frames, one_mode_model, second_mode_weight

SETTINGS = TrainingConfig(
    batch_size=256,
    learning_rate=5e-3,
    warmup_share=0.0,
    hot_factor=3.0,
    walkers=WalkersConfig(number=1024, steps=2),
    mass_covering=MassCoveringConfig(particles=1024, stages=8, leapfrog=5),
    annealed=AnnealedConfig(samples=4096),
    guided=GuidedConfig(frames=128, dispersion_weight=1.0),
)


@cache
def one_mode() -> FlowModel:
    return one_mode_model(100)


def both_modes(n: int, generator: torch.Generator) -> Internal:
    """Half of the frames in either mode, which is not their population."""
    first, second = (mode_frames(mode, n // 2, generator) for mode in (0, 1))
    return Internal(*(torch.cat(pair) for pair in zip(first, second, strict=True)))


def both_conformers(n: int, generator: torch.Generator) -> ConformerFrames:
    """As many frames of the second mode as of the first, though it has less than half the weight."""
    frames = both_modes(n, generator)
    u = TwoModes().reduced_energy(torch.cat(tuple(frames), 1).view(-1, 1, 3))
    return ConformerFrames(frames, u, torch.zeros(n, dtype=torch.float64), frames.torsions)


def trained(objective: str, steps: int, **changes) -> tuple[FlowModel, TwoModes, TrainingResult, Walkers]:
    model, target = copy.deepcopy(one_mode()), TwoModes()
    generator = torch.Generator().manual_seed(3)
    settings = SETTINGS.model_copy(update={"objective": objective, "max_steps": steps, **changes})
    starts = torch.cat(tuple(both_modes(256, generator)), 1).view(-1, 1, 3)
    dynamics = Langevin(target, torch.ones(1), time_step=0.05, recentre=False)
    walkers = Walkers(dynamics, starts, settings.walkers.number, generator)
    target.counter.count = 0
    frames = both_modes(512, generator) if objective == "likelihood" or settings.warmup_share else None
    conformers = both_conformers(2000, generator) if objective == "guided" else None
    data = TrainingData(target, generator, frames, walkers=walkers, conformers=conformers)
    result = train(model, flow_stages(model, data, settings), settings)
    return model, target, result, walkers


def test_reverse_kl_alone_stays_in_its_mode():
    assert second_mode_weight(one_mode()) < 0.02
    model, _, _, _ = trained("reverse-kl", 100, hot_factor=1.0)
    assert second_mode_weight(model) < 0.01


@pytest.mark.parametrize(
    ("objective", "steps", "changes"),
    [
        ("guided", 200, {"hot_factor": 1.0}),
        ("walkers", 300, {"hot_factor": 1.0}),
        pytest.param("mass-covering", 300, {}, marks=pytest.mark.slow),
        ("annealed", 200, {}),
        ("annealed", 200, {"annealed": AnnealedConfig(samples=4096, trust_region=True)}),
    ],
)
def test_lost_modes_come_back_with_their_weights(objective, steps, changes):
    """The second mode holds 0.3. Importance weights then give Z, which one mode alone misses by ln 0.7."""
    model, target, result, _ = trained(objective, steps, **changes)
    assert result.n_bad_steps == 0
    assert 0.2 < second_mode_weight(model) < 0.4
    with torch.no_grad():
        x, log_q = model.sample_with_log_prob(20_000, torch.Generator().manual_seed(9))
    log_z = log_mean_weight(-target.reduced_energy(x) - log_q)
    assert abs(log_z.value - target.log_Z) < 4 * log_z.stderr
    assert log_z.stderr < 0.02


@pytest.mark.parametrize("trust_region", [False, True])
def test_annealing_does_not_learn_the_samples_of_a_round_by_heart(trust_region):
    """Few samples at a time and long rounds: seen again and again, they would narrow the model each round."""
    few = AnnealedConfig(samples=64, trust_region=trust_region)
    model, target, _, _ = trained("annealed", 400, annealed=few)
    with torch.no_grad():
        x, log_q = model.sample_with_log_prob(20_000, torch.Generator().manual_seed(9))
    assert effective_sample_size(-target.reduced_energy(x) - log_q) / len(x) > 0.8


def test_likelihood_learns_the_frames_and_evaluates_no_energy():
    model, target, result, _ = trained("likelihood", 100)
    assert target.evaluations == 0
    assert result.history == []
    assert 0.45 < second_mode_weight(model) < 0.55


@pytest.mark.parametrize(
    ("objective", "names"),
    [
        ("auto", ["likelihood", "guided reverse KL"]),
        ("guided", ["likelihood", "guided reverse KL"]),
        ("reverse-kl", ["likelihood", "reverse KL"]),
        ("walkers", ["likelihood", "walkers"]),
        ("mass-covering", ["likelihood", "mass covering"]),
        ("annealed", ["likelihood", "hot reverse KL", "cooling"]),
        ("likelihood", ["likelihood"]),
    ],
)
def test_stages_of_an_objective_share_the_budget(objective, names):
    generator = torch.Generator().manual_seed(0)
    config = TrainingConfig(objective=objective)
    target = TwoModes()
    frames = both_modes(10, generator)
    starts = torch.cat(tuple(frames), 1).view(-1, 1, 3)
    walkers = Walkers(Langevin(target, torch.ones(1)), starts, 4, generator)
    conformers = both_conformers(20, generator) if objective in ("auto", "guided") else None
    found = flow_stages(
        one_mode(), TrainingData(target, generator, frames, walkers=walkers, conformers=conformers), config
    )
    assert [stage.name for stage in found] == names
    assert sum(stage.share for stage in found) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("objective", "evaluations"),
    [
        ("reverse-kl", 16 * 256),
        ("guided", 16 * 256),  # a quarter of each batch at given torsions; frames have their energies
        ("mass-covering", 2 * 1024 * (1 + 8 * 5)),  # two refills, 8 stages of 5 leapfrog steps
        ("annealed", 7 * 256 + 9 * 4096),  # 9 of 16 rounds have a step of their own
    ],
)
def test_every_energy_is_counted(objective, evaluations):
    _, target, result, _ = trained(objective, 16)
    assert result.steps == 16
    assert target.evaluations == evaluations


def test_energies_of_walkers_are_counted():
    _, target, _, walkers = trained("walkers", 16)
    assert target.evaluations == 16 * (256 + 2 * 1024) + walkers.accepted
    assert walkers.proposed == 16 * 256
    assert walkers.replaced == 0


def test_a_seed_repeats_a_run():
    for objective in ("guided", "walkers", "mass-covering", "annealed"):
        first, again = (trained(objective, 6)[0] for _ in range(2))
        for one, other in zip(first.parameters(), again.parameters(), strict=True):
            assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("objective", "needs"),
    [("likelihood", "frames"), ("walkers", "population"), ("guided", "every conformer")],
)
def test_what_an_objective_lacks_is_said(objective, needs):
    with pytest.raises(InputError, match=needs):
        flow_stages(
            one_mode(), TrainingData(TwoModes(), torch.Generator()), TrainingConfig(objective=objective)
        )
