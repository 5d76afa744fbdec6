"""Energies of given conformers, term by term."""

from __future__ import annotations

from pathlib import Path

import torch

from boltzgen.energies.compiler import compile_system
from boltzgen.evaluation.conformer_energies import ConformerEnergies
from boltzgen.molecules.conformer_files import read_positions
from boltzgen.systems import load_system


def conformer_energies(
    spec: str,
    positions: str | Path,
    forcefield: str | None = None,
    solvent: str | None = None,
    release_constraints: bool = False,
) -> ConformerEnergies:
    """Energies, in float64, of the conformers in the file ``positions`` (see ``read_positions``)."""
    system = load_system(spec, forcefield, solvent, release_constraints)
    x = read_positions(system.molecule, Path(positions))
    energy = compile_system(system.system)
    batch_last = torch.as_tensor(x, dtype=torch.float64).permute(2, 1, 0).contiguous()
    terms = {name: values.numpy() for name, values in energy.term_energies(batch_last).items()}
    return ConformerEnergies(system.molecule, system.forcefield, system.solvent, terms)
