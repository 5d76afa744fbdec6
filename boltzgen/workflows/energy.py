"""Energies of given conformers, term by term."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from boltzgen.energies.compiler import compile_system
from boltzgen.evaluation.conformer_energies import ConformerEnergies
from boltzgen.molecules.conformer_files import read_positions
from boltzgen.quantities import positions_in_nm
from boltzgen.systems import MoleculeInput, load_system


def conformer_energies(
    molecule: MoleculeInput,
    positions: Any,
    forcefield: str | None = None,
    solvent: str | None = None,
    release_constraints: bool = False,
) -> ConformerEnergies:
    """Energies of conformers, in float64.

    Parameters
    ----------
    molecule, forcefield, solvent, release_constraints
        See ``load_system``.
    positions
        A file (see ``read_positions``), or [atoms, 3] or [conformers, atoms, 3] in nm or as a quantity, in
        the molecule's order of atoms.

    Returns
    -------
    ConformerEnergies
        In kJ/mol, force by force.

    Raises
    ------
    InputError
        For a molecule or positions that cannot be used.
    """
    system = load_system(molecule, forcefield, solvent, release_constraints)
    if isinstance(positions, str | os.PathLike):
        x = read_positions(system.molecule, Path(positions))
    else:
        x = positions_in_nm(positions)
        system.molecule.require_positions(x)
    energy = compile_system(system.system)
    batch_last = torch.as_tensor(x, dtype=torch.float64).permute(2, 1, 0).contiguous()
    terms = {name: values.numpy() for name, values in energy.term_energies(batch_last).items()}
    return ConformerEnergies(system.molecule, system.forcefield, system.solvent, terms)
