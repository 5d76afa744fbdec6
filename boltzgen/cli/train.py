"""``boltzgen train``: the same as sample, from a file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from boltzgen.cli.options import Json, Out, Quiet, Resume
from boltzgen.cli.runs import finish, progress_line, run


def train(
    config: Annotated[Path, typer.Argument(help="A TOML file like the config.toml of a run's folder.")],
    out: Out = None,
    resume: Resume = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """The same as sample, from a file.

    torchrun --nproc-per-node N -m boltzgen train CONFIG trains by N processes, on as many GPUs if there are.
    """
    with _first_of_all() as is_first:
        if is_first:
            with progress_line(quiet) as line:
                from boltzgen.workflows.config import read_config

                summary = run(read_config(config), out, line, resume)
            finish(summary, out, as_json)


def is_launched(environment: Mapping[str, str]) -> bool:
    """Whether ``torchrun`` started this process as one of several."""
    return int(environment.get("WORLD_SIZE", "1")) > 1 and "MASTER_ADDR" in environment


@contextmanager
def _first_of_all() -> Iterator[bool]:
    """Whether this process runs the program; the others of ``torchrun`` serve it here, and that is all."""
    if not is_launched(os.environ):
        yield True
        return
    from boltzgen.training.executors.distributed import joined, serve

    with joined() as is_first:
        if not is_first:
            serve()
        yield is_first
