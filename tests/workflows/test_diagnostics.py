"""What a run says by default of a model that makes one conformer only, without any reference."""

import math

import pytest
import torch

from boltzgen.ensemble import Ensemble
from boltzgen.errors import NotConvergedError
from boltzgen.models.model import GenerativeModel
from boltzgen.molecules.torsions import conformer_torsions, torsion_values
from boltzgen.progress import Stopwatch
from boltzgen.sampling.frames import FramesConfig
from boltzgen.training.config import TrainingConfig
from boltzgen.training.data import TrainingData
from boltzgen.training.families import untrained_model
from boltzgen.training.recipes import flow_stages
from boltzgen.training.trainer import train
from boltzgen.workflows.config import SampleConfig
from boltzgen.workflows.diagnostics import replica_exchange_samples, require_thermal_energy, verdict
from boltzgen.workflows.preparation import prepare
from boltzgen.workflows.sampling import draw
from boltzgen.workflows.training_data import internal_frames

CONFIG = SampleConfig(
    molecule="CCCC",
    frames=FramesConfig(ladders=16, picoseconds=4.0, walkers=128, local_picoseconds=4.0),
    model_settings={"torsion_couplings": 2, "torsion_hidden": 16, "stiff_couplings": 2, "stiff_hidden": 32},
)


@pytest.fixture(scope="module")
def trained():
    """Butane, and a model that is trained well enough to be used."""
    torch.manual_seed(0)
    problem = prepare(CONFIG, torch.Generator().manual_seed(0), Stopwatch())
    model = untrained_model(CONFIG.model, CONFIG.model_settings, problem)
    frames = internal_frames(model, problem.frames.thermal.positions)
    data = TrainingData(problem.target, torch.Generator().manual_seed(1), frames)
    settings = TrainingConfig(
        objective="reverse-kl", max_steps=300, batch_size=256, warmup_share=0.5, warmup_learning_rate=3e-3,
        learning_rate=3e-3, hot_factor=1.0,
    )  # fmt: skip
    train(model, flow_stages(model, data, settings), settings)
    return problem, model


def is_anti(molecule, x: torch.Tensor) -> torch.Tensor:
    (carbons,) = conformer_torsions(molecule)
    return torch.from_numpy(torsion_values(x.numpy(), [carbons])[:, 0]).abs() > 2.0


class Anti(GenerativeModel):
    """``model`` with everything but butane's anti conformer thrown away: what a dropped mode comes to."""

    def __init__(self, model, molecule) -> None:
        super().__init__()
        self.model, self.molecule, self.coordinates = model, molecule, model.coordinates
        x, _ = model.sample_with_log_prob(4000, torch.Generator().manual_seed(3))
        self.log_share = math.log(float(is_anti(molecule, x).double().mean()))

    def sample_with_log_prob(self, n, generator=None):
        x, log_q = self.model.sample_with_log_prob(4 * n, generator)
        kept = torch.nonzero(is_anti(self.molecule, x)).flatten()[:n]
        return x[kept], log_q[kept] - self.log_share

    def log_prob(self, x):
        return torch.where(is_anti(self.molecule, x), self.model.log_prob(x) - self.log_share, -math.inf)


@torch.no_grad()
def test_a_model_of_one_conformer_is_flagged_and_one_of_all_is_not(trained):
    problem, model = trained
    molecule, generator = problem.molecule, torch.Generator().manual_seed(2)
    whole = draw(model, problem.target, molecule, 4000, generator, Stopwatch())
    found = verdict(whole, problem, model, "flow")
    assert found.converged
    assert found.missed_share == 0.0
    collapsed = Anti(model, molecule)
    anti = draw(collapsed, problem.target, molecule, 4000, generator, Stopwatch())
    assert anti.effective_sample_size_fraction > 0.8 * whole.effective_sample_size_fraction
    assert anti.pareto_k < 0.7
    found = verdict(anti, problem, collapsed, "flow")
    assert not found.converged
    gauche = 1.0 - float(is_anti(molecule, problem.frames.thermal.positions).double().mean())
    assert found.missed_share == pytest.approx(gauche, abs=0.02)
    assert len(found.warnings) == 1
    assert "hardly samples" in found.warnings[0]


def test_replica_exchange_is_worth_as_much_as_its_slowest_torsion(trained):
    """Sixteen ladders: about a sample each or some, far less than their frames."""
    problem, _ = trained
    assert 16 < replica_exchange_samples(problem) < 0.5 * len(problem.frames.thermal.positions)


def test_samples_all_of_which_are_torn_are_no_result(trained):
    """A model that has learnt nothing leaves all the weight with the sample that is least torn."""
    problem, _ = trained
    x = problem.frames.thermal.positions[:200]

    def ensemble(x: torch.Tensor) -> Ensemble:
        u = problem.target.reduced_energy(x)
        return Ensemble.from_samples(problem.molecule, x, u, torch.zeros(len(x)), 300.0)

    require_thermal_energy(ensemble(x), problem)
    shrunk = x * 0.6  # every bond four tenths too short
    with pytest.raises(NotConvergedError, match="torn"):
        require_thermal_energy(ensemble(shrunk), problem)
    require_thermal_energy(ensemble(torch.cat([shrunk, x[:1]])), problem)
