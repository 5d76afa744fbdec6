"""The distinct conformers of a finished run, as sampled or minimised, for docking and other programs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from boltzgen.distinct_conformers import DistinctConformer, as_mol
from boltzgen.energies.compiler import compile_system
from boltzgen.energies.target import BoltzmannTarget
from boltzgen.ensemble import Ensemble
from boltzgen.errors import InputError
from boltzgen.files.names import CONFIG
from boltzgen.files.whole import write_whole
from boltzgen.molecules.conformer_texts import FORMATS, conformer_text
from boltzgen.molecules.molecule import Molecule
from boltzgen.molecules.torsions import conformer_torsions, torsion_values
from boltzgen.systems import load_system
from boltzgen.workflows.config import read_config
from boltzgen.workflows.ideal_gas import minimised

SAME_TORSION = math.radians(5.0)  # minima closer than this in every torsion are one,
SAME_ENERGY = 0.1  # if their energies (kJ/mol) are as close


def minima(
    molecule: Molecule, found: Sequence[DistinctConformer], target: BoltzmannTarget
) -> list[DistinctConformer]:
    """The minima of the energy that ``found`` relax to, most populated first.

    Conformers that end in one minimum are one, their populations added.
    """
    torsions = conformer_torsions(molecule)
    periods = np.array([torsion.period for torsion in torsions])
    distinct: list[DistinctConformer] = []
    angles: list[np.ndarray] = []
    for one in found:
        x = minimised(target, one.positions)
        energy = float(target.reduced_energy(torch.from_numpy(x)[None])[0]) * target.kT
        values = torsion_values(x[None], torsions)[0]
        for place, other in enumerate(distinct):
            apart = np.abs((values - angles[place] + periods / 2) % periods - periods / 2)
            if (apart < SAME_TORSION).all() and abs(energy - other.energy_kJ_mol) < SAME_ENERGY:
                error = math.hypot(other.population_stderr, one.population_stderr)
                together = other.population + one.population
                distinct[place] = DistinctConformer(
                    other.positions, together, error, other.energy_kJ_mol, other.label
                )
                break
        else:
            distinct.append(DistinctConformer(x, one.population, one.population_stderr, energy, one.label))
            angles.append(values)
    return sorted(distinct, key=lambda one: -one.population)


def run_target(folder: Path, ensemble: Ensemble) -> BoltzmannTarget:
    """The energy of the run in ``folder``, from its configuration."""
    config = read_config(folder / CONFIG)
    system = load_system(config.molecule, config.forcefield, config.solvent, config.release_constraints)
    if system.molecule.smiles != ensemble.molecule.smiles:
        raise InputError(f"{folder / CONFIG} is of '{system.molecule.smiles}': restore the file of this run.")
    return BoltzmannTarget(compile_system(system.system), ensemble.temperature)


def _write(text: bytes, path: Path) -> None:
    path.write_bytes(text)


def write_conformers(
    folder: Path,
    out: Path,
    kinds: tuple[str, ...] = ("sdf",),
    minimise: bool = False,
    most: int = 100,
    least_population: float = 0.0,
) -> list[DistinctConformer]:
    """Write the distinct conformers of the run in ``folder`` to ``out``, as conformers.sdf, .xyz, .pdb.

    Parameters
    ----------
    kinds
        Which of "sdf", "xyz" and "pdb".
    minimise
        Whether each is minimised in the energy of the run.
    most, least_population
        See ``distinct_conformers``.

    Returns
    -------
    list
        What was written, most populated first.

    Raises
    ------
    InputError
        For a folder without a run, another kind, and files that are there already.
    """
    for kind in kinds:
        if kind not in FORMATS:
            raise InputError(f"Conformers cannot be written as '{kind}': give some of {', '.join(FORMATS)}.")
    paths = {kind: out / f"conformers.{kind}" for kind in kinds}
    for path in paths.values():
        if path.exists():
            raise InputError(f"{path} is there already: name another folder with --out.")
    ensemble = Ensemble.load(folder)
    found = ensemble.distinct_conformers(most, least_population)
    if minimise:
        found = minima(ensemble.molecule, found, run_target(folder, ensemble))
    mol = as_mol(ensemble.molecule, found)
    try:
        out.mkdir(parents=True, exist_ok=True)
        for kind, path in paths.items():
            text = conformer_text(ensemble.molecule, mol, kind).encode()
            write_whole(path, partial(_write, text))
    except OSError as error:
        raise InputError(f"{out} cannot be written to ({error.strerror}); name another folder.") from error
    return found
