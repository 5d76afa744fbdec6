"""``boltzgen train``: the same as sample, from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from boltzgen.cli.options import Json, Out, Resume
from boltzgen.cli.runs import finish, progress_line, run


def train(
    config: Annotated[Path, typer.Argument(help="A TOML file like the config.toml of a run's folder.")],
    out: Out = None,
    resume: Resume = False,
    as_json: Json = False,
) -> None:
    """The same as sample, from a file."""
    with progress_line() as line:
        from boltzgen.workflows.config import read_config

        summary = run(read_config(config), out, line, resume)
    finish(summary, out, as_json)
