"""``boltzgen reference``: an ensemble by replica exchange."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Annotated

import typer

from boltzgen.cli.options import (
    ForceField,
    Json,
    MoleculeArgument,
    Out,
    Quiet,
    ReleaseConstraints,
    Seed,
    Solvent,
    Temperature,
)
from boltzgen.cli.runs import finish, progress_line


def reference(
    molecule: MoleculeArgument,
    temperature: Temperature = 300.0,
    forcefield: ForceField = None,
    solvent: Solvent = None,
    release_constraints: ReleaseConstraints = False,
    hottest: Annotated[float, typer.Option(help="Highest temperature of a ladder, kelvin.")] = 900.0,
    ladders: Annotated[int, typer.Option(min=2, help="Independent ladders.")] = 32,
    picoseconds: Annotated[float, typer.Option(help="Length of the run on every rung.")] = 400.0,
    seed: Seed = 0,
    out: Out = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Reference ensemble by replica exchange on the compiled energy."""
    with progress_line(quiet) as line:
        from boltzgen.ensemble_folder import require_free_folder
        from boltzgen.files.lock import FolderLock
        from boltzgen.settings import validated
        from boltzgen.systems import load_system
        from boltzgen.workflows.reference import ReferenceConfig, reference_ensemble

        if out is not None:
            require_free_folder(out)
        system = load_system(molecule, forcefield, solvent, release_constraints)
        config = validated(
            ReferenceConfig,
            temperature=temperature,
            hottest=hottest,
            ladders=ladders,
            picoseconds=picoseconds,
            seed=seed,
        )
        with nullcontext() if out is None else FolderLock(out):
            found = reference_ensemble(system, config, line.show)
            if out is not None:
                found.ensemble.save(out)
    finish(found.ensemble.summary(), out, as_json)
