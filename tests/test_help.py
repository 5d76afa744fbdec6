"""What --help says, and how a person is told what goes on."""

import io
import shlex

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from boltzgen.cli.application import app
from boltzgen.cli.examples import EXAMPLES
from boltzgen.progress import StageProgress
from boltzgen.report.terminal import ProgressLine
from boltzgen.systems import system_names

COMMANDS = typer.main.get_command(app).commands


def test_every_command_has_an_example():
    assert set(EXAMPLES) == set(COMMANDS)


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_are_read_by_their_commands(name):
    """All words are arguments and options of the command, and values are of their types."""
    program, command, *words = shlex.split(EXAMPLES[name])
    assert (program, command) == ("boltzgen", name)
    context = COMMANDS[name].make_context(name, words)
    assert context.args == []
    refused = CliRunner().invoke(app, [name, *words, "--no-such-option"])
    assert refused.exit_code == 2


def test_help_shows_example_groups_and_defaults():
    shown = CliRunner().invoke(app, ["sample", "--help"], env={"COLUMNS": "200"}).output
    for text in (EXAMPLES["sample"], "When it ends", "Model and training", "[default: 10000]", "--quiet"):
        assert text in shown


def test_no_colour_is_kept_to(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    shown = CliRunner().invoke(app, ["sample", "--help"], color=True).output
    assert "\x1b[3" not in shown


def test_shells_complete_commands():
    asked = {"_BOLTZGEN_COMPLETE": "complete_bash", "COMP_WORDS": "boltzgen do", "COMP_CWORD": "1"}
    assert CliRunner().invoke(app, [], env=asked, prog_name="boltzgen").output.strip() == "doctor"


@pytest.mark.parametrize("quiet", [False, True])
def test_quiet_runs_show_warnings_alone(quiet):
    told = io.StringIO()
    with ProgressLine(Console(file=told, width=100), 0.0, quiet) as line:
        line.show(StageProgress("training", 0.5, 12.0, "ESS 40 %"))
        line.show(StageProgress("training", warning="the disk is full"))
    assert "the disk is full" in told.getvalue()
    assert ("ESS 40 %" in told.getvalue()) is not quiet


def test_systems_are_one_line_each():
    shown = CliRunner().invoke(app, ["systems"], env={"COLUMNS": "40"}).output
    first, *lines = shown.splitlines()
    assert first.split() == ["name", "force", "field", "solvent", "what"]
    assert [line.split()[0] for line in lines] == system_names()
