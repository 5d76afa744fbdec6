"""``boltzgen compare``: every kind of model on one molecule."""

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
    Quiet,
    ReleaseConstraints,
    Seed,
    Solvent,
    Temperature,
    parse_duration,
)
from boltzgen.cli.runs import progress_line, stopwatch


def compare(
    system: MoleculeArgument,
    models: Annotated[
        str | None, typer.Option(help=f"Names with commas between them, by default all: {MODELS}.")
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(help="Training time of each model, like 90s or 5m; by default from the size."),
    ] = None,
    reference: Annotated[
        Path | None, typer.Option(help="Folder of a reference ensemble; by default one is made.")
    ] = None,
    samples: Annotated[int, typer.Option("--samples", "-n", help="Conformations of each model.")] = 10_000,
    temperature: Temperature = 300.0,
    forcefield: ForceField = None,
    solvent: Solvent = None,
    release_constraints: ReleaseConstraints = False,
    device: Device = "auto",
    seed: Seed = 0,
    out: Out = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train every kind of model on one molecule, and measure all of them against one reference."""
    with progress_line(quiet) as line:
        from boltzgen.report.comparison import print_comparison
        from boltzgen.settings import validated
        from boltzgen.workflows.compare import CompareConfig, run_compare

        config = validated(
            CompareConfig,
            molecule=system,
            models=() if models is None else tuple(name.strip() for name in models.split(",")),
            n_samples=samples,
            temperature=temperature,
            forcefield=forcefield,
            solvent=solvent,
            release_constraints=release_constraints,
            device=device,
            seed=seed,
            budget_seconds=None if budget is None else parse_duration(budget),
            reference=reference,
        )
        summary = run_compare(config, out, stopwatch(line)).summary()
    if as_json:
        typer.echo(summary.to_json(), nl=False)
    else:
        print_comparison(Console(), summary, out)
