"""``boltzgen sample``: train, sample, weigh, report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from boltzgen.cli.options import (
    MODELS,
    Device,
    ForceField,
    Json,
    MoleculeArgument,
    Out,
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


def sample(
    molecule: MoleculeArgument,
    samples: Annotated[int, typer.Option("--samples", "-n", help="Conformations to generate.")] = 10_000,
    temperature: Temperature = 300.0,
    forcefield: ForceField = None,
    solvent: Solvent = None,
    device: Device = "auto",
    seed: Seed = 0,
    budget: Annotated[
        str | None, typer.Option(help="Time for the whole run, like 90s or 5m; by default from the size.")
    ] = None,
    effective: Annotated[
        int | None,
        typer.Option(min=1, help="Effective samples to reach within the budget; by default half of -n."),
    ] = None,
    error_free_energy: Annotated[
        str | None,
        typer.Option(help="Standard error of the free energy to reach within the budget, like 0.02kcal."),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Training steps instead of a time: the run then repeats to the bit."),
    ] = None,
    objective: Annotated[
        str | None,
        typer.Option(help="auto, guided, reverse-kl, mass-covering, annealed, walkers or likelihood."),
    ] = None,
    model: Annotated[str, typer.Option(help=f"Generative model: {MODELS}.")] = "flow",
    reference: Annotated[
        Path | None, typer.Option(help="Folder of an ensemble for a model that learns from frames.")
    ] = None,
    refine: Annotated[
        str, typer.Option(help="auto or off: better poor samples of a flow in the time that is left.")
    ] = "auto",
    release_constraints: ReleaseConstraints = False,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="Any other setting of config.toml, like frames.ladders=64."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be sampled, and about how long it takes.")
    ] = False,
    out: Out = None,
    resume: Resume = False,
    as_json: Json = False,
) -> None:
    """Train a model on the molecule's energy, sample it, weigh the samples, report."""
    with progress_line() as line:
        from boltzgen.workflows.config import assignment, sample_config

        given = {
            "molecule": molecule,
            "n": samples,
            "temperature": temperature,
            "forcefield": forcefield,
            "solvent": solvent,
            "device": device,
            "seed": seed,
            "budget": None if budget is None else parse_duration(budget),
            "effective": effective,
            "free_energy_error": None if error_free_energy is None else parse_energy(error_free_energy),
            "max_steps": steps,
            "model": model,
            "reference": reference,
            "release_constraints": release_constraints,
            "objective": objective,
            "refine": refine,
        }
        config = sample_config(given | dict(assignment(text) for text in settings or ()))
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
