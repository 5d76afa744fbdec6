"""Objectives resume to the bit and can be sent to another process, whatever they keep between steps."""

import copy
import pickle
from functools import cache

import pytest
import torch
from torch import nn

from boltzgen.models.model import Internal
from boltzgen.objectives.guided import ConformerFrames
from boltzgen.objectives.objective import Objective
from boltzgen.objectives.walkers import Walkers
from boltzgen.sampling.dynamics import Langevin
from boltzgen.training.checkpoint import Checkpoints, fingerprint
from boltzgen.training.config import AnnealedConfig, MassCoveringConfig, TrainingConfig, WalkersConfig
from boltzgen.training.data import TrainingData
from boltzgen.training.families import family
from boltzgen.training.recipes import OBJECTIVES
from boltzgen.training.stage import Stage
from boltzgen.training.trainer import train
from tests.models.toy_coordinates import ToyCoordinates
from tests.objectives.two_modes import N_STIFF, N_TORSIONS, SMALL, TwoModes, mode_frames
from tests.training.toy_objectives import KilledError, counted

STEPS = 20
SETTINGS = TrainingConfig(
    max_steps=STEPS,
    batch_size=64,
    learning_rate=5e-3,
    warmup_share=0.2,
    walkers=WalkersConfig(number=64, steps=2),
    mass_covering=MassCoveringConfig(particles=64, stages=2, leapfrog=2, refresh_every=3),
    annealed=AnnealedConfig(samples=256, rungs=2, repeats=2),
)
TRAININGS = [
    *(("flow", objective) for objective in OBJECTIVES),
    *((name, "auto") for name in ("flow-likelihood", "vae", "vae-energy", "autoencoder", "wgan", "wgan-gp")),
    ("domain-adversarial", "auto"),
]


@cache
def untrained(name: str) -> nn.Module:
    torch.manual_seed(0)
    settings = SMALL if name.startswith("flow") else family(name).config()
    return family(name).build(ToyCoordinates(N_TORSIONS, N_STIFF), settings).double()


def start(name: str, objective: str) -> tuple[nn.Module, list[Stage], TrainingConfig, torch.Generator]:
    """A model and its stages on everything that any objective needs."""
    model, target = copy.deepcopy(untrained(name)), TwoModes()
    generator = torch.Generator().manual_seed(3)
    parts = [mode_frames(mode, 100, generator) for mode in (0, 1)]
    frames = Internal(*(torch.cat(pair) for pair in zip(*parts, strict=True)))
    x = torch.cat(tuple(frames), 1).view(-1, 1, 3)
    u = target.reduced_energy(x)
    conformers = ConformerFrames(frames, u, torch.zeros_like(u), frames.torsions)
    dynamics = Langevin(target, torch.ones(1), time_step=0.05, recentre=False)
    walkers = Walkers(dynamics, x, SETTINGS.walkers.number, generator)
    data = TrainingData(target, generator, frames, parts[0], walkers, conformers)
    config = SETTINGS.model_copy(update={"objective": objective})
    return model, family(name).stages(model, data, config), config, generator


def trained(name: str, objective: str, processes: int, path=None, killed_at: int | None = None) -> nn.Module:
    torch.manual_seed(1)
    model, stages, config, generator = start(name, objective)
    config = config.model_copy(update={"processes": processes})
    counted(stages, killed_at)
    checkpoints = None
    if path is not None:
        checkpoints = Checkpoints(path, generator, fingerprint(model, torch.zeros(1)))
        checkpoints.due = lambda used: True
    train(model, stages, config, checkpoints=checkpoints)
    return model


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize(("name", "objective"), TRAININGS)
def test_killed_and_resumed_equals_uninterrupted(name, objective, processes, tmp_path):
    whole = trained(name, objective, processes)
    for killed_at in (9, 18):
        path = tmp_path / f"{killed_at}.pt"
        with pytest.raises(KilledError):
            trained(name, objective, processes, path, killed_at)
        resumed = trained(name, objective, processes, path)
        for one, other in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True):
            assert torch.equal(one, other)


@pytest.mark.parametrize(("name", "objective"), TRAININGS)
def test_an_objective_that_was_sent_elsewhere_has_the_same_losses(name, objective):
    _, stages, _, _ = start(name, objective)
    for stage in stages:
        torch.manual_seed(1)
        stage.objective.loss(0.5)  # so that there is something to keep
        sent = pickle.loads(pickle.dumps(stage.objective))
        (values, gradients), (sent_values, sent_gradients) = (losses(one) for one in (stage.objective, sent))
        assert values == sent_values
        assert any(gradient is not None for gradient in gradients)
        for one, other in zip(gradients, sent_gradients, strict=True):
            assert one is other is None or torch.equal(one, other)


def losses(objective: Objective) -> tuple[list[float], list[torch.Tensor | None]]:
    """Two losses in a row, and the gradients of both."""
    torch.manual_seed(2)
    values, gradients = [], []
    for progress in (0.5, 0.9):
        value = objective.loss(progress).value
        values.append(float(value.detach()))
        gradients += torch.autograd.grad(value, list(objective.model.parameters()), allow_unused=True)
    return values, gradients
