"""``boltzgen sample``: train, sample, weigh, report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from boltzgen.cli.options import (
    ENDING,
    MODEL,
    MODELS,
    OUTPUT,
    Device,
    ForceField,
    Json,
    MoleculeArgument,
    Out,
    Quiet,
    ReleaseConstraints,
    Resume,
    Seed,
    Solvent,
    Temperature,
    parse_duration,
    parse_energy,
)
from boltzgen.cli.runs import finish, progress_line, run, stopwatch
from boltzgen.report.terminal import print_plan

if TYPE_CHECKING:
    from boltzgen.workflows.config import SampleConfig

NO_SETTINGS = ("dry_run", "out", "resume", "as_json", "quiet")
"""Options of the command that say nothing of what is sampled."""

_READ = {"budget": parse_duration, "error_free_energy": parse_energy}
_RENAMED = {"samples": "n", "error_free_energy": "free_energy_error", "steps": "max_steps"}


def sampling_config(options: Mapping[str, Any]) -> SampleConfig:
    """The run that the options of ``sample``, by their names in Python, describe.

    ``--set`` comes after all others. Raises InputError for an option that cannot be used.
    """
    from boltzgen.workflows.config import assignment, sample_config

    given = {}
    for name, value in options.items():
        if name not in (*NO_SETTINGS, "settings") and value is not None:
            given[_RENAMED.get(name, name)] = _READ[name](value) if name in _READ else value
    return sample_config(given | dict(assignment(text) for text in options["settings"] or ()))


def sample(
    molecule: MoleculeArgument,
    samples: Annotated[int, typer.Option("--samples", "-n", help="Conformations to generate.")] = 10_000,
    temperature: Temperature = 300.0,
    forcefield: ForceField = None,
    solvent: Solvent = None,
    device: Device = "auto",
    seed: Seed = 0,
    budget: Annotated[
        str | None,
        typer.Option(
            help="Time for the whole run, like 90s or 5m; by default from the size.", rich_help_panel=ENDING
        ),
    ] = None,
    effective: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Effective samples to reach within the budget; by default half of -n.",
            rich_help_panel=ENDING,
        ),
    ] = None,
    error_free_energy: Annotated[
        str | None,
        typer.Option(
            help="Standard error of the free energy to reach within the budget, like 0.02kcal.",
            rich_help_panel=ENDING,
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Training steps instead of a time: the run then repeats to the bit.",
            rich_help_panel=ENDING,
        ),
    ] = None,
    objective: Annotated[
        str | None,
        typer.Option(
            help="auto, guided, reverse-kl, mass-covering, annealed, walkers or likelihood.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    model: Annotated[str, typer.Option(help=f"Generative model: {MODELS}.", rich_help_panel=MODEL)] = "flow",
    reference: Annotated[
        Path | None,
        typer.Option(
            help="Folder of an ensemble for a model that learns from frames.", rich_help_panel=MODEL
        ),
    ] = None,
    refine: Annotated[
        str,
        typer.Option(
            help="auto or off: better poor samples of a flow in the time that is left.", rich_help_panel=MODEL
        ),
    ] = "auto",
    release_constraints: ReleaseConstraints = False,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Any other setting of config.toml, like frames.ladders=64.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Say what would be sampled, and about how long it takes.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    out: Out = None,
    resume: Resume = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a model on the molecule's energy, sample it, weigh the samples, report."""
    options = dict(locals())  # before any other variable
    with progress_line(quiet) as line:
        config = sampling_config(options)
        if dry_run:
            from boltzgen.workflows.plan import plan

            planned = plan(config, stopwatch(line))
        else:
            summary = run(config, out, line, resume)
    if not dry_run:
        finish(summary, out, as_json)
    elif as_json:
        typer.echo(planned.model_dump_json(indent=2))
    else:
        print_plan(Console(), planned)
