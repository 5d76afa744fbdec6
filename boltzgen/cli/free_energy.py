"""``boltzgen free-energy``: free energies of a molecule, and differences between its states."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from boltzgen.cli.exits import EXIT_NOT_CONVERGED
from boltzgen.cli.options import (
    Device,
    ForceField,
    Out,
    Quiet,
    ReleaseConstraints,
    Seed,
    Solvent,
    Temperature,
    parse_duration,
    parse_energy,
)
from boltzgen.cli.runs import progress_line
from boltzgen.errors import InputError

BETWEEN_HELP = "Two states by what tells them apart, like T=300 T=400, or solvent=vacuum solvent=water."


def free_energy(
    molecule: Annotated[
        str,
        typer.Argument(
            help="A SMILES, a file, a peptide sequence, a named system, or the folder of a finished run."
        ),
    ],
    between: Annotated[
        tuple[str, str] | None, typer.Option("--between", metavar="STATE STATE", help=BETWEEN_HELP)
    ] = None,
    states: Annotated[
        list[str] | None,
        typer.Option(
            "--states", help='A region by name, like "gauche: torsion 0-1-2-3 in [-120, 120]"; repeatable.'
        ),
    ] = None,
    temperatures: Annotated[
        str | None, typer.Option(help="Temperatures of the curve, like 300,350,400; by default six.")
    ] = None,
    ideal_gas: Annotated[
        bool,
        typer.Option("--ideal-gas", help="Entropy of the ideal gas at 1 bar, to compare with measured ones."),
    ] = False,
    to: Annotated[
        str | None, typer.Option("--to", help="An isomer: the difference from MOLECULE to it.")
    ] = None,
    error: Annotated[
        str | None, typer.Option(help="Standard error to reach within the budget, like 0.02kcal.")
    ] = None,
    temperature: Temperature = 300.0,
    forcefield: ForceField = None,
    solvent: Solvent = None,
    release_constraints: ReleaseConstraints = False,
    samples: Annotated[int, typer.Option("--samples", "-n", help="Conformations of each state.")] = 10_000,
    budget: Annotated[
        str | None, typer.Option(help="Time for the training of each state, like 90s or 5m.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Training steps instead of a time.")] = None,
    device: Device = "auto",
    seed: Seed = 0,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any other setting of config.toml."),
    ] = None,
    out: Out = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="File for the figures; - prints them as JSON instead.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Free energy, energy and entropy over temperature, populations, and differences between states."""
    with progress_line(quiet) as line:
        from boltzgen.workflows.config import assignment
        from boltzgen.workflows.free_energy import free_energy as run

        given: dict[str, Any] = {
            "temperature": temperature,
            "forcefield": forcefield,
            "solvent": solvent,
            "release_constraints": release_constraints,
            "n": samples,
            "budget": None if budget is None else parse_duration(budget),
            "max_steps": steps,
            "device": device,
            "seed": seed,
        }
        summary = run(
            molecule,
            between=None if between is None else (_settings(between[0]), _settings(between[1])),
            states=states or (),
            temperatures=None if temperatures is None else _temperatures(temperatures),
            ideal_gas=ideal_gas,
            to=to,
            error=None if error is None else parse_energy(error),
            out=out,
            report=line.show,
            **(given | dict(assignment(text) for text in settings or ())),
        )
    if json_file == Path("-"):
        typer.echo(summary.to_json(), nl=False)
    else:
        from boltzgen.files.whole import write_whole
        from boltzgen.report.free_energy import print_free_energy

        if json_file is not None:
            write_whole(json_file, lambda path: path.write_text(summary.to_json()))
        print_free_energy(Console(), summary)
    if not summary.converged:
        raise typer.Exit(EXIT_NOT_CONVERGED)


def _settings(text: str) -> dict[str, Any]:
    """The settings of a state: NAME=VALUE, several with commas between them."""
    from boltzgen.workflows.config import assignment

    return dict(assignment(part) for part in text.split(","))


def _temperatures(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise InputError(f"'{text}' names no temperatures; write them like 300,350,400.") from error
