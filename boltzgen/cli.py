"""The command line: parse, call a workflow, print. Nothing is computed here."""

import re
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from boltzgen.errors import EvaluationError, InputError

# Taken before the slow imports, so that start-up counts against a run's time budget.
STARTED = time.monotonic()

EXIT_FAULT, EXIT_BAD_INPUT, EXIT_NOT_CONVERGED = 1, 2, 3

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Boltzmann-weighted conformers of a molecule, from its energy alone.",
)
errors = Console(stderr=True)


def parse_duration(text: str) -> float:
    """Seconds of '90', '90s', '5m' or '1.5h'."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?)\s*([smh]?)\s*", text)
    if not match or float(match[1]) <= 0:
        raise InputError(f"'{text}' is not a duration; write one like 90s, 5m or 1.5h.")
    return float(match[1]) * {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}[match[2]]


@app.callback()
def _boltzgen() -> None:
    """A group, so that every command has a name."""


@app.command()
def sample(
    molecule: Annotated[str, typer.Argument(help="A SMILES, an .sdf or .mol file, or a named system.")],
    samples: Annotated[int, typer.Option("--samples", "-n", help="Conformations to generate.")] = 10_000,
    temperature: Annotated[float, typer.Option("--temperature", "-T", help="Kelvin.")] = 300.0,
    forcefield: Annotated[str, typer.Option(help="Force field.")] = "mmff94",
    solvent: Annotated[str, typer.Option(help="Solvent model.")] = "vacuum",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    seed: Annotated[int, typer.Option(min=0, help="Seed of every random number.")] = 0,
    budget: Annotated[
        str | None, typer.Option(help="Time for the whole run, like 90s or 5m; by default from the size.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for the run's files.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print summary.json to standard output.")] = False,
) -> None:
    """Train a model on the molecule's energy, sample it, weigh the samples, report."""
    from boltzgen.report.terminal import ProgressLine, print_summary

    line = ProgressLine(Console(stderr=True), STARTED)
    with line:
        from boltzgen.ensemble_folder import summary_text
        from boltzgen.workflows.progress import Stopwatch
        from boltzgen.workflows.sample import SampleConfig, run_sample

        config = SampleConfig(
            molecule=molecule,
            n_samples=samples,
            temperature=temperature,
            forcefield=forcefield,
            solvent=solvent,
            device=device,
            seed=seed,
            budget_seconds=None if budget is None else parse_duration(budget),
        )
        watch = Stopwatch(line.show, STARTED)
        watch.seconds["start-up"] = watch.elapsed
        ensemble = run_sample(config, out, watch=watch)
    summary = ensemble.summary()
    if as_json:
        typer.echo(summary_text(summary), nl=False)
    else:
        print_summary(Console(), summary, out)
    if not summary["converged"]:
        raise typer.Exit(EXIT_NOT_CONVERGED)


def main() -> None:
    """Entry point: one sentence and an exit code for what a person can mend, else a traceback."""
    try:
        app()
    except InputError as error:
        errors.print(f"boltzgen: {error}", markup=False, highlight=False)
        raise SystemExit(EXIT_BAD_INPUT) from None
    except EvaluationError as error:
        errors.print(f"boltzgen: {error}", markup=False, highlight=False)
        raise SystemExit(EXIT_FAULT) from None
