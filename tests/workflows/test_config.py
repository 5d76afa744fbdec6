"""A run's TOML file describes the same run again; what it cannot hold is named."""

import pytest

from boltzgen.errors import InputError
from boltzgen.training.config import TrainingConfig
from boltzgen.workflows.config import SampleConfig, config_toml, default_budget, read_config


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
    with pytest.raises(InputError, match="cannot be read"):
        read_config(tmp_path / "nothing.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not TOML"):
        read_config(tmp_path / "binary.toml")


def test_default_budgets_grow_with_the_molecule():
    budgets = [default_budget(n) for n in (3, 14, 22, 33, 80, 120)]
    assert budgets == sorted(budgets)
    assert budgets[1] <= 60
    assert budgets[2] <= 300
    assert budgets[3] <= 480
