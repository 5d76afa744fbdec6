"""The command that a page tells is the run that it repeats."""

import shlex

import pytest
import typer

from boltzgen.cli.application import app
from boltzgen.cli.sample import sampling_config
from boltzgen.workflows.command import sample_command
from boltzgen.workflows.config import sample_config

RUNS = {
    "defaults": {"molecule": "CCO"},
    "options": {
        "molecule": "C[C@H](F)C(=O)O",
        "n": 500,
        "temperature": 350.5,
        "forcefield": "mmff94s",
        "solvent": "obc2",
        "budget": 90.0,
        "effective": 200,
        "seed": 7,
    },
    "settings": {"molecule": "CC#N", "refine": "off", "max_steps": 50, "frames.ladders": 8},
    "model": {"molecule": "CCCC", "model": "vae", "objective": "auto"},
}


@pytest.mark.parametrize("name", RUNS)
def test_command_is_read_back_as_the_same_run(name):
    config = sample_config(RUNS[name])
    group = typer.main.get_command(app)
    words = shlex.split(sample_command(config))
    assert words[:2] == ["boltzgen", "sample"]
    context = group.commands["sample"].make_context("sample", words[2:])
    assert sampling_config(context.params) == config
