"""``boltzgen conformers``: the distinct conformers of a finished run in files for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from boltzgen.cli.options import named_folder


def conformers(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run or of a reference.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", parser=named_folder, help="Folder for the files.")
    ] = Path("conformers"),
    kinds: Annotated[
        str, typer.Option("--format", help="Kinds of files with commas between them: sdf, xyz, pdb.")
    ] = "sdf",
    minimise: Annotated[bool, typer.Option("--minimise", help="Minimise each in the run's energy.")] = False,
    most: Annotated[int, typer.Option(min=1, help="How many at most.")] = 100,
    least_population: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Leave out those that are less populated.")
    ] = 0.0,
) -> None:
    """Write the distinct conformers of a run with their populations, ready for docking."""
    from boltzgen.workflows.conformers import write_conformers

    asked = tuple(kind.strip().lower() for kind in kinds.split(","))
    found = write_conformers(run, out, asked, minimise, most, least_population)
    for one in found[:10]:
        shown = f"{100 * one.population:5.1f} ± {100 * one.population_stderr:.1f} %"
        typer.echo(f"{shown}   {one.energy_kJ_mol:10.2f} kJ/mol   {one.label}")
    if len(found) > 10:
        typer.echo(f"... and {len(found) - 10} more")
    typer.echo(f"Files in {out}: {', '.join(f'conformers.{kind}' for kind in asked)}")
