"""What commands that run for a while share: progress on the terminal, and the end of a run."""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console

from boltzgen.cli.exits import EXIT_NOT_CONVERGED, EXIT_REPLICA_EXCHANGE, errors
from boltzgen.errors import InputError
from boltzgen.interruption import InterruptedRunError
from boltzgen.progress import Stopwatch
from boltzgen.report.terminal import ProgressLine, print_summary

if TYPE_CHECKING:
    from boltzgen.workflows.config import SampleConfig

# Taken before the slow imports, so that start-up counts against a run's time budget.
STARTED = time.monotonic()


def progress_line(quiet: bool = False) -> ProgressLine:
    """The line that shows the progress of a run on standard error; only its warnings where ``quiet``."""
    return ProgressLine(Console(stderr=True), STARTED, quiet)


def stopwatch(line: ProgressLine) -> Stopwatch:
    """A watch that has run since the program started, and shows the stages of a run on ``line``."""
    return Stopwatch(line.show, STARTED)


def run(config: SampleConfig, out: Path | None, line: ProgressLine, resume: bool) -> dict[str, Any]:
    """Run ``config`` in the folder ``out``, or go on with the run that is there.

    Returns
    -------
    dict
        The summary of the run.

    Raises
    ------
    InterruptedRunError
        Where a signal ended the run, with the command that goes on with it as a note.
    """
    if resume and out is None:
        raise InputError("--resume goes on with a run in a folder: name it with --out.")
    from boltzgen.workflows.run_folder import can_go_on, is_finished
    from boltzgen.workflows.sample import run_sample

    finished = resume and out is not None and is_finished(out)
    watch = stopwatch(line)
    watch.seconds["start-up"] = watch.elapsed
    try:
        summary = run_sample(config, out, watch=watch, resume=resume).summary()
    except InterruptedRunError as stopped:
        if out is not None and can_go_on(out):
            command = shlex.join(["boltzgen", *sys.argv[1:], *([] if resume else ["--resume"])])
            stopped.add_note(f"This goes on where it was: {command}")
        raise
    if finished:
        errors.print(f"{out} holds a finished run; its figures:", markup=False, soft_wrap=True)
    return summary


def finish(summary: dict[str, Any], out: Path | None, as_json: bool) -> None:
    """Print ``summary``, and end with exit code 3 if the run did not converge.

    Exit code 4 tells that it did, but that the samples are replica exchange's, without a free energy.
    """
    from boltzgen.files.names import SUMMARY
    from boltzgen.files.whole import json_text
    from boltzgen.records.run import RunSummary, read_summary

    record = read_summary(summary)
    if as_json:
        typer.echo(json_text(summary), nl=False)
    else:
        # Where the disk was full, a warning has said where the files are.
        print_summary(Console(), record, out if out is not None and (out / SUMMARY).exists() else None)
    if not record.converged:
        raise typer.Exit(EXIT_NOT_CONVERGED)
    if isinstance(record, RunSummary) and record.answer == "replica exchange":
        raise typer.Exit(EXIT_REPLICA_EXCHANGE)
