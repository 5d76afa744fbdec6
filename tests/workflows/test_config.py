"""A run's TOML file describes the same run again; what it cannot hold is named."""

import json

import pytest
import tomli_w
from typer.testing import CliRunner

import boltzgen
from boltzgen import cli
from boltzgen.errors import InputError
from boltzgen.training.config import TrainingConfig
from boltzgen.workflows.config import (
    SampleConfig,
    assignment,
    config_toml,
    default_budget,
    read_config,
    require_sane,
    sample_config,
    wanted_effective_samples,
)


def test_what_is_written_is_what_is_read(tmp_path):
    config = SampleConfig(
        molecule="C/C=C/C",
        seed=7,
        budget_seconds=90.0,
        solvent="water",
        model="flow-likelihood",
        model_settings={"stiff_couplings": 4},
        reference="some/folder",
        training=TrainingConfig(max_steps=10),
    )
    (tmp_path / "config.toml").write_text(config_toml(config))
    assert read_config(tmp_path / "config.toml") == config


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('molecule = "CC"\nsteps = 3', "steps"),
        ('molecule = "CC"\n[training]\nbatch_size = 0', "training.batch_size"),
        ("molecule = ", "TOML"),
        ('molecule = "CC"\nmodel = "crystal-ball"', "crystal-ball"),
        ('molecule = "CC"\nmodel = "flow"\n[model_settings]\nwings = 2', "wings"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path, text, named):
    (tmp_path / "config.toml").write_text(text)
    with pytest.raises(InputError, match=named):
        read_config(tmp_path / "config.toml")


def test_a_missing_or_binary_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="no file"):
        read_config(tmp_path / "nothing.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="something else than text"):
        read_config(tmp_path / "binary.toml")


def test_default_budgets_grow_with_the_molecule():
    budgets = [default_budget(n) for n in (3, 14, 22, 33, 80, 120)]
    assert budgets == sorted(budgets)
    assert budgets[1] <= 60
    assert budgets[2] <= 300
    assert budgets[3] <= 480


def described(monkeypatch, arguments):
    """The run that the command line ``arguments`` describe."""
    seen = []
    monkeypatch.setattr("boltzgen.cli.sample.run", lambda config, *a: seen.append(config))
    monkeypatch.setattr("boltzgen.cli.sample.finish", lambda *a: None)
    result = CliRunner().invoke(cli.app, arguments)
    return seen[0] if seen else result


def python(monkeypatch, *arguments, **settings):
    """The run that ``boltzgen.sample`` makes of its arguments."""
    seen = []
    monkeypatch.setattr("boltzgen.workflows.sample.run_sample", lambda config, *a, **k: seen.append(config))
    boltzgen.sample(*arguments, **settings)
    return seen[0]


EVERYTHING = {
    "molecule": "CCO", "n_samples": 7, "temperature": 310.0, "forcefield": "mmff94s", "solvent": "obc2",
    "release_constraints": True, "seed": 4, "budget_seconds": 90.0, "device": "cpu", "refine": "off",
    "reference": "somewhere", "model": "vae", "refine_share": 0.6, "answer": "model",
    "start_from": "none",
    "effective_samples": 3, "free_energy_error": 0.1,
    "model_settings": {"latent_dim": 3}, "frames": {"ladders": 8},
    "training": {"max_steps": 5, "objective": "auto"},
}  # fmt: skip


def test_command_line_toml_and_python_describe_the_same_run(monkeypatch, tmp_path):
    (tmp_path / "config.toml").write_text(tomli_w.dumps(EVERYTHING))
    from_file = read_config(tmp_path / "config.toml")
    from_python = python(
        monkeypatch, "CCO", 7, 310.0, forcefield="mmff94s", solvent="obc2", release_constraints=True, seed=4,
        budget=90.0, device="cpu", refine="off", reference="somewhere", model="vae", refine_share=0.6,
        answer="model", start_from="none",
        effective=3, free_energy_error=0.1,
        model_settings={"latent_dim": 3}, frames={"ladders": 8}, max_steps=5, objective="auto",
    )  # fmt: skip
    text = (
        "sample CCO -n 7 -T 310 --forcefield mmff94s --solvent obc2 --release-constraints --seed 4"
        " --budget 90s --device cpu --refine off --reference somewhere --model vae --set refine_share=0.6"
        " --set answer=model --set start_from=none"
        " --effective 3 --error-free-energy 0.1kcal"
        " --set model_settings.latent_dim=3 --set frames.ladders=8 --steps 5 --objective auto"
    )
    assert from_file == from_python == described(monkeypatch, text.split())


@pytest.mark.parametrize("name", SampleConfig.model_fields)
def test_every_setting_is_reached_from_all_three(monkeypatch, tmp_path, name):
    """One setting at a time, by its own name: keyword, --set, and key of a file."""
    value = EVERYTHING[name]
    needed = {"molecule": "CCO"} | ({"model": "vae"} if name == "model_settings" else {}) | {name: value}
    (tmp_path / "config.toml").write_text(tomli_w.dumps(needed))
    from_file = read_config(tmp_path / "config.toml")
    assert getattr(from_file, name) != getattr(SampleConfig(molecule="O"), name)
    assert python(monkeypatch, **needed) == from_file
    arguments = ["sample", "CCO"]
    for key, one in needed.items():
        inner = {f"{key}.{k}": v for k, v in one.items()} if isinstance(one, dict) else {key: one}
        for path, v in inner.items():
            arguments += ["--set", f"{path}={json.dumps(v)}"]
    assert described(monkeypatch, arguments) == from_file


def test_unknown_settings_are_refused_with_the_nearest_name(monkeypatch, tmp_path):
    (tmp_path / "config.toml").write_text('molecule = "CCO"\n[training]\nbach_size = 3')
    with pytest.raises(InputError, match=r"'training\.bach_size' .* did you mean 'batch_size'\?"):
        read_config(tmp_path / "config.toml")
    with pytest.raises(InputError, match=r"'bugdet' cannot be 3: .* did you mean 'budget'\?"):
        boltzgen.sample("CCO", bugdet=3)
    with pytest.raises(InputError, match=r"'model_settings' is no table|'hiden'"):
        sample_config({"molecule": "CCO", "model": "vae", "model_settings.hiden": 3})
    with pytest.raises(InputError, match=r"write NAME=VALUE"):
        assignment("training.batch_size")
    result = described(monkeypatch, ["sample", "CCO", "--bugdet", "3s"])
    assert result.exit_code == 2
    assert "--budget" in result.output


def test_wanted_samples_follow_from_the_error_of_the_free_energy():
    config = SampleConfig(molecule="CCO", n_samples=1000, temperature=300.0, free_energy_error=0.01)
    # kT is 0.5962 kcal/mol at 300 K.
    assert wanted_effective_samples(config) == pytest.approx((0.5962 / 0.01) ** 2, rel=1e-3)
    assert wanted_effective_samples(SampleConfig(molecule="CCO", n_samples=1000)) == 500
    assert (
        wanted_effective_samples(SampleConfig(molecule="CCO", n_samples=1000, effective_samples=800)) == 800
    )


def test_more_effective_samples_than_samples_are_refused():
    with pytest.raises(InputError, match="2000 or more"):
        require_sane(SampleConfig(molecule="CCO", n_samples=1000, effective_samples=1000))
