"""Replica exchange as the answer where a model fails: against closed forms of a molecule of bonded terms."""

import math

import numpy as np
import pytest
import torch
import typer

from boltzgen.cli.exits import EXIT_REPLICA_EXCHANGE
from boltzgen.cli.runs import finish
from boltzgen.evaluation.convergence import Verdict
from boltzgen.models.model import GenerativeModel
from boltzgen.molecules.torsions import conformer_torsions, torsion_values
from boltzgen.progress import Stopwatch
from boltzgen.sampling.frames import FramesConfig
from boltzgen.training.config import TrainingConfig
from boltzgen.training.families import untrained_model
from boltzgen.units import thermal_energy
from boltzgen.workflows import replica_answer
from boltzgen.workflows import sample as sampling
from boltzgen.workflows.config import SampleConfig
from boltzgen.workflows.diagnostics import main_conformers
from boltzgen.workflows.preparation import prepare
from boltzgen.workflows.replica_answer import best_answer
from boltzgen.workflows.sample import run_sample
from boltzgen.workflows.sampling import draw
from tests.bonded_toy import log_z

FAILED = Verdict(False, ["planted"], 0.5)
CONFIG = SampleConfig(
    molecule="bonded-toy",
    n_samples=6000,
    frames=FramesConfig(ladders=32, picoseconds=8.0, walkers=64, local_picoseconds=4.0),
    training=TrainingConfig(max_steps=1),
)


@pytest.fixture(scope="module")
def toy():
    torch.manual_seed(0)
    problem = prepare(CONFIG, torch.Generator().manual_seed(0), Stopwatch())
    return problem, untrained_model("flow", {}, problem)


def central_torsion(molecule, x) -> np.ndarray:
    return torsion_values(torch.as_tensor(x).detach().numpy(), [conformer_torsions(molecule)[1]])[:, 0]


def exact_share(problem, inside) -> float:
    """Of the central torsion, which is independent of all others, by quadrature."""
    torsions = problem.system.system.getForces()[2]
    rows = [torsions.getTorsionParameters(k) for k in range(torsions.getNumTorsions())]
    phi = np.linspace(-math.pi, math.pi, 4096, endpoint=False)
    kT = thermal_energy(problem.target.temperature)
    u = sum(v._value / kT * (1 + np.cos(n * phi - phase._value)) for *atoms, n, phase, v in rows
            if atoms == [0, 1, 2, 3])  # fmt: skip
    return float(np.exp(-u)[inside(phi)].sum() / np.exp(-u).sum())


def is_anti(phi):
    return np.abs(phi) > 2.0 * math.pi / 3.0


class Restricted(GenerativeModel):
    """``model`` without any sample whose central torsion is negative: half of the population is dropped."""

    def __init__(self, model, molecule) -> None:
        super().__init__()
        self.model, self.molecule, self.coordinates = model, molecule, model.coordinates
        x, _ = model.sample_with_log_prob(20_000, torch.Generator().manual_seed(3))
        self.log_share = math.log(float((central_torsion(molecule, x) > 0).mean()))

    def sample_with_log_prob(self, n, generator=None):
        x, log_q = self.model.sample_with_log_prob(4 * n, generator)
        kept = np.flatnonzero(central_torsion(self.molecule, x) > 0)[:n]
        return x[kept], log_q[kept] - self.log_share

    def log_prob(self, x):
        kept = torch.from_numpy(central_torsion(self.molecule, x) > 0)
        return torch.where(kept, self.model.log_prob(x) - self.log_share, -math.inf)


class Swollen(GenerativeModel):
    """``model`` with all positions a fifth too far from each other, which no thermal frame is."""

    def __init__(self, model) -> None:
        super().__init__()
        self.model, self.coordinates = model, model.coordinates
        self.log_volume = (3 * model.coordinates.n_atoms - 6) * math.log(1.2)

    def sample_with_log_prob(self, n, generator=None):
        x, log_q = self.model.sample_with_log_prob(n, generator)
        return 1.2 * x, log_q - self.log_volume

    def log_prob(self, x):
        return self.model.log_prob(x / 1.2) - self.log_volume


def answered(config, problem, model, verdict=FAILED):
    generator = torch.Generator().manual_seed(5)
    drawn = draw(model, problem.target, problem.molecule, config.n_samples, generator, Stopwatch())
    return best_answer(config, problem, model, drawn, drawn, verdict, generator, Stopwatch())


def require_populations(problem, ensemble, errors=4.0):
    phi = central_torsion(problem.molecule, ensemble.positions)
    for inside in (is_anti, lambda phi: phi < 0):
        found = ensemble.mean(inside(phi).astype(float))
        assert abs(found.value - exact_share(problem, inside)) < errors * found.stderr
        assert found.stderr < 0.06


def test_both_together_have_what_the_model_drops_and_the_free_energy(toy):
    problem, model = toy
    answer = answered(CONFIG, problem, Restricted(model, problem.molecule))
    assert answer.source == "combined"
    assert answer.verdict.converged
    assert "planted" in answer.verdict.warnings[0]
    found = answer.ensemble
    assert len(found) == CONFIG.n_samples
    exact = log_z(problem.system.system, 300.0)
    assert abs(found.log_z.value - exact) < 4.0 * found.log_z.stderr
    assert found.log_z.stderr < 0.15
    require_populations(problem, found)
    alone = draw(
        Restricted(model, problem.molecule), problem.target, problem.molecule, 6000,
        torch.Generator().manual_seed(6), Stopwatch(),
    )  # fmt: skip
    assert alone.log_z.value - exact == pytest.approx(math.log(0.5), abs=0.1)  # what is mended here


def test_replica_exchange_alone_is_the_answer_where_the_model_makes_nothing_like_it(toy):
    problem, model = toy
    answer = answered(CONFIG, problem, Swollen(model))
    assert (answer.source, answer.verdict.converged) == ("replica exchange", True)
    found = answer.ensemble
    assert not found.has_free_energy
    assert np.ptp(found.log_weights) == 0.0
    assert len(found) <= CONFIG.n_samples
    require_populations(problem, found)
    assert answer.replica_exchange is not None
    assert found.effective_sample_size == pytest.approx(answer.replica_exchange.effective_sample_size)
    torch.testing.assert_close(
        problem.target.reduced_energy(torch.from_numpy(found.positions)).double(),
        torch.from_numpy(found.reduced_energies), atol=2e-3, rtol=1e-4,
    )  # fmt: skip
    # Errors of populations are those of independent frames, not of all frames.
    p = main_conformers(found)[0]
    assert p.population_stderr == pytest.approx(
        math.sqrt(p.population * (1 - p.population) / found.effective_sample_size), rel=0.02
    )
    priced = CONFIG.model_copy(update={"free_energy_error": 0.02})
    assert not answered(priced, problem, Swollen(model)).verdict.converged  # there is no free energy


def test_a_model_that_converged_and_one_that_was_asked_for_are_the_answer(toy):
    problem, model = toy
    assert answered(CONFIG, problem, model, Verdict(True, [], 0.0)).source == "model"
    alone = CONFIG.model_copy(update={"answer": "model"})
    answer = answered(alone, problem, Restricted(model, problem.molecule))
    assert (answer.source, answer.verdict) == ("model", FAILED)


def test_replica_exchange_whose_ladders_stay_where_they_are_is_no_answer(toy, monkeypatch):
    problem, model = toy
    frames = problem.frames.thermal
    first = frames.positions.view(frames.frames_a_ladder, 32, -1, 3)[:1]
    stuck = first.expand(frames.frames_a_ladder, -1, -1, -1).reshape(frames.positions.shape)
    ladders = replica_answer._judged(
        problem,
        stuck.view(frames.frames_a_ladder, 32, -1, 3),
        torch.randn(frames.frames_a_ladder, 32, generator=torch.Generator().manual_seed(0)),
    )
    assert ladders.quality.r_hat > 1.5
    monkeypatch.setattr(replica_answer, "_ladders_so_far", lambda problem: ladders)
    answer = answered(CONFIG, problem, Restricted(model, problem.molecule))
    assert (answer.source, answer.verdict) == ("model", FAILED)
    assert answer.replica_exchange == ladders.quality


def test_replica_exchange_goes_on_in_the_time_that_is_left_until_there_is_enough(toy):
    problem, model = toy
    config = CONFIG.model_copy(update={"training": TrainingConfig(), "budget_seconds": 60.0,
                                       "effective_samples": 1500})  # fmt: skip
    before = answered(CONFIG, problem, Swollen(model)).replica_exchange
    after = answered(config, problem, Swollen(model))
    assert before is not None
    assert after.replica_exchange is not None
    assert before.effective_sample_size < 1500 <= after.replica_exchange.effective_sample_size
    assert after.replica_exchange.frames_a_ladder > before.frames_a_ladder
    require_populations(problem, after.ensemble)


def test_a_run_says_whose_samples_it_gives_and_so_does_the_exit_code(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sampling, "verdict", lambda *a, **k: FAILED)
    monkeypatch.setattr(replica_answer, "LEAST_OVERLAP", 2.0)  # more than there can be
    found = run_sample(CONFIG, tmp_path / "run")
    summary = found.summary()
    assert (summary["answer"], summary["converged"]) == ("replica exchange", True)
    assert "log_Z" not in summary or summary["log_Z"] is None
    with pytest.raises(typer.Exit) as exit:
        finish(summary, tmp_path / "run", as_json=False)
    assert exit.value.exit_code == EXIT_REPLICA_EXCHANGE == 4
    shown = capsys.readouterr().out
    assert "frames of the run's own replica exchange" in " ".join(shown.split())
    assert "did not converge (planted)" in " ".join(shown.split())
