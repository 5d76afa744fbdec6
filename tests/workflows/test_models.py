"""Every model by name through the whole run, and one that this file adds."""

import json
import math

import numpy as np
import pytest
import torch
from pydantic import BaseModel, ConfigDict
from torch import nn

import boltzgen
from boltzgen.cli import options
from boltzgen.errors import InputError
from boltzgen.models.model import GenerativeModel, ImplicitModel, LatentVariableModel
from boltzgen.sampling.frames import FramesConfig
from boltzgen.settings import validated
from boltzgen.training.config import TrainingConfig
from boltzgen.training.families import FAMILIES, Family
from boltzgen.training.recipes import on_frames
from boltzgen.workflows.config import SampleConfig, read_config
from boltzgen.workflows.plan import plan
from boltzgen.workflows.sample import run_sample
from boltzgen.workflows.sampling import density_kind, sample_with_known_density
from tests.test_cli import run

CHIRAL = "C[C@H](O)F"
SHORT = {
    "frames": FramesConfig(ladders=8, picoseconds=2.0, walkers=256, local_picoseconds=4.0),
    "training": TrainingConfig(max_steps=40, batch_size=128),
}


def short_run(out=None, **changes):
    return run_sample(SampleConfig(**({"molecule": CHIRAL, "n_samples": 500} | SHORT | changes)), out)


class SpreadConfig(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    first_log_scale: float = 0.0


class Spread(GenerativeModel):
    """Torsions uniform, stiff coordinates normal with learned widths."""

    def __init__(self, coordinates, config):
        super().__init__()
        self.coordinates, self.config = coordinates, config
        self.log_scale = nn.Parameter(torch.full((coordinates.n_stiff,), config.first_log_scale))

    def sample_with_log_prob(self, n, generator=None):
        stiff = torch.randn(n, self.coordinates.n_stiff, generator=generator) * self.log_scale.exp()
        uniform = torch.rand(n, self.coordinates.n_torsions, generator=generator)
        x, _ = self.coordinates.to_positions((2 * uniform - 1) * math.pi, stiff)
        return self.coordinates.randomise_labels(x, generator), self.log_prob(x)

    def log_prob(self, x):
        _, stiff, log_det = self.coordinates.from_positions(x)
        return self.internal_log_prob(stiff) - log_det - self.coordinates.log_multiplicity

    def internal_log_prob(self, stiff):
        normal = torch.distributions.Normal(0.0, self.log_scale.exp()).log_prob(stiff).sum(1)
        return normal - self.coordinates.n_torsions * math.log(2 * math.pi)


def spread_loss(model, batch, progress, generator):
    return -model.internal_log_prob(batch.stiff).mean()


def test_a_new_model_is_a_class_a_loss_and_a_line(tmp_path, monkeypatch):
    monkeypatch.setitem(FAMILIES, "spread", Family(SpreadConfig, Spread, on_frames(spread_loss), "frames"))
    settings = {"first_log_scale": 0.1}
    ensemble = short_run(tmp_path / "run", model="spread", model_settings=settings, n_samples=4000)
    model = boltzgen.load_model(tmp_path / "run" / "model.safetensors")
    assert isinstance(model, Spread)
    assert float(model.log_scale.detach().mean()) < 0.095
    assert read_config(tmp_path / "run" / "config.toml").model_settings == settings
    assert ensemble.metadata["model"] == "spread"
    flow = short_run(model="flow-likelihood", n_samples=4000)
    error = np.hypot(ensemble.free_energy_stderr_kT, flow.free_energy_stderr_kT)
    assert abs(ensemble.free_energy_kT - flow.free_energy_kT) < 5 * error


@pytest.mark.parametrize("name", sorted(set(FAMILIES) - {"flow"}))
def test_every_model_runs_whole_and_keeps_stereo(name, tmp_path):
    ensemble = short_run(tmp_path, model=name)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["model"] == name
    assert summary["trained_on"]
    assert ensemble.molecule.keeps_stereo(ensemble.positions).all()
    loaded = boltzgen.Ensemble.load(tmp_path)
    assert np.array_equal(loaded.positions, ensemble.positions)
    assert loaded.summary().keys() == ensemble.summary().keys()
    assert "<svg" in (tmp_path / "report.html").read_text()
    model = boltzgen.load_model(tmp_path / "model.safetensors")
    assert density_kind(model) == summary["density"]
    with torch.no_grad():
        x, log_prob = sample_with_known_density(model, 5, torch.Generator().manual_seed(1))
    assert ensemble.molecule.keeps_stereo(x.numpy()).all()
    assert bool(torch.isfinite(log_prob).all()) is not isinstance(model, ImplicitModel)
    if isinstance(model, ImplicitModel):
        assert not summary["converged"]
        assert "no density" in summary["warnings"][0]
        assert summary["effective_sample_size"] is None
        assert "log_Z" not in summary
        with pytest.raises(InputError, match="no free energy"):
            _ = loaded.free_energy
    else:
        assert np.isfinite(ensemble.free_energy)
    if isinstance(model, LatentVariableModel):
        assert summary["density"] == "extended"


def test_weights_of_the_variational_autoencoder_are_exact():
    """ln Z of two latent-variable models, barely trained, and of a flow."""
    found = [short_run(model=name, n_samples=8000) for name in ("vae", "vae-energy", "flow")]
    errors = [one.free_energy_stderr_kT for one in found]
    assert max(errors) < 0.3
    for one, error in zip(found[:2], errors[:2], strict=True):
        assert abs(one.free_energy_kT - found[2].free_energy_kT) < 5 * np.hypot(error, errors[2])


@pytest.mark.parametrize("name", ["autoencoder", "vae"])
def test_a_single_atom_has_nothing_to_learn(name):
    ensemble = short_run(model=name, molecule="[Na+]", n_samples=100)
    assert np.abs(ensemble.positions).max() == 0


def test_a_plan_is_made_for_any_model():
    sizes = [plan(SampleConfig(molecule="O", model=name, **SHORT)).n_parameters for name in ("vae", "flow")]
    assert sizes[0] != sizes[1]


def test_settings_that_do_not_go_together_are_refused():
    with pytest.raises(InputError, match="Objective 'walkers' is none of model 'vae'"):
        short_run(model="vae", training=TrainingConfig(objective="walkers", max_steps=1))
    with pytest.raises(InputError, match="energy alone"):
        short_run(model="vae-energy", reference="somewhere")
    with pytest.raises(InputError, match="latent_dim"):
        validated(SampleConfig, molecule="O", model="vae", model_settings={"latent_dim": 0})


def test_the_command_line_knows_every_model(capsys):
    assert [name.strip() for name in options.MODELS.split(",")] == list(FAMILIES)
    code, _, err = run(["sample", "O", "--model", "crystal-ball"], capsys)
    assert code == 2
    assert "crystal-ball" in err


def test_an_autoencoder_from_the_command_line_ends_as_not_converged(tmp_path, capsys):
    arguments = ["sample", "O", "--model", "autoencoder", "-n", "200", "--budget", "4", "-o", str(tmp_path)]
    code, out, _ = run(arguments, capsys)
    assert code == 3
    assert "reconstruction_error_nm" in out
    assert "not weighted" in out
