"""``boltzgen reweight``: a finished run with the energies of another program."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from boltzgen.cli.options import Json, Out
from boltzgen.cli.runs import finish, progress_line


def reweight(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    energies: Annotated[
        Path,
        typer.Option(help="CSV with a column energy_kJ_mol, energy_kcal_mol, energy_hartree or energy_eV."),
    ],
    level: Annotated[
        str | None, typer.Option(help="What the energies are of; by default the file's name.")
    ] = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """A finished run with the energies of another program: new weights, populations, free energy."""
    with progress_line():
        from boltzgen.ensemble_folder import require_free_folder
        from boltzgen.workflows.reweighting import reweighted_run

        if out is not None:
            require_free_folder(out)
        ensemble = reweighted_run(run, energies, level)
        if out is not None:
            ensemble.save(out)
    finish(ensemble.summary(), out, as_json)
