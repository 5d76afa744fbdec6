"""``boltzgen doctor``: what the installation has, and whether it works."""

from __future__ import annotations

import typer
from rich.console import Console

from boltzgen.cli.exits import EXIT_FAULT
from boltzgen.cli.options import Json


def doctor(as_json: Json = False) -> None:
    """What this installation has, and whether its energies are OpenMM's; exit code 1 if they are not."""
    from boltzgen.report.doctor import print_doctor
    from boltzgen.workflows.doctor import doctor

    found = doctor()
    if as_json:
        typer.echo(found.model_dump_json(indent=2))
    else:
        print_doctor(Console(), found)
    if not found.healthy:
        raise typer.Exit(EXIT_FAULT)
