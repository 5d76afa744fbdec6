"""``boltzgen energy``: energies of given conformers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from boltzgen.cli.options import ForceField, Json, MoleculeArgument, ReleaseConstraints, Solvent
from boltzgen.report.terminal import print_energies


def energy(
    molecule: MoleculeArgument,
    positions: Annotated[Path, typer.Argument(help="Conformers: .sdf, .npz, .pdb, .dcd, ...")],
    forcefield: ForceField = None,
    solvent: Solvent = None,
    release_constraints: ReleaseConstraints = False,
    as_json: Json = False,
) -> None:
    """Energies of given conformers, force by force."""
    from boltzgen.files.whole import json_text
    from boltzgen.workflows.energy import conformer_energies

    energies = conformer_energies(molecule, positions, forcefield, solvent, release_constraints)
    if as_json:
        found = {
            "molecule": energies.molecule.smiles,
            "forcefield": energies.forcefield,
            "solvent": energies.solvent,
            "terms_kJ_mol": energies.terms,
            "energy_kJ_mol": energies.total,
        }
        typer.echo(json_text(found), nl=False)
    else:
        print_energies(Console(), energies)
