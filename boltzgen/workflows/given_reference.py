"""A reference ensemble from a folder, for the same molecule, energy and temperature or not at all.

One that did not converge is used, with a warning.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from boltzgen.ensemble import Ensemble
from boltzgen.errors import InputError
from boltzgen.systems import MolecularSystem

TEMPERATURE_TOLERANCE = 1e-6  # relative
NOT_CONVERGED = (
    "the reference ({}) did not converge by its own summary: what is learnt from it or measured by it may be"
    " wrong"
)


def load_reference(path: str | Path, system: MolecularSystem, temperature: float) -> Ensemble:
    """The ensemble that a run of ``boltzgen reference`` or ``boltzgen sample`` left in the folder ``path``.

    Raises InputError naming what differs where it is of another molecule, atom order, force field, solvent
    or temperature (K), and where its populations mean nothing: it has neither frames of dynamics nor weights.
    """
    ensemble = Ensemble.load(path)
    _require_same(path, system, ensemble, temperature)
    if ensemble.metadata.get("density") == "none":
        raise InputError(f"{path} holds samples of a model without a density: give an ensemble with weights.")
    return ensemble


def reference_warnings(reference: Ensemble | None, source: str | Path) -> list[str]:
    """A sentence where the run that made ``reference`` did not converge; ``source``: where it is from.

    None where there is no reference, or nothing is known of that.
    """
    if reference is None or reference.metadata.get("converged") is not False:
        return []
    return [NOT_CONVERGED.format(source)]


def reference_positions(ensemble: Ensemble, generator: torch.Generator) -> Tensor:
    """Equally weighted positions [n, atoms, 3] in nm: the frames, or weighted samples drawn by weight."""
    equal = bool((ensemble.log_weights == ensemble.log_weights[0]).all())
    if not equal:
        draw = torch.Generator().manual_seed(generator.initial_seed())
        ensemble = ensemble.resample(generator=draw)
    return torch.from_numpy(ensemble.positions).to(generator.device)


def _require_same(path: str | Path, system: MolecularSystem, ensemble: Ensemble, temperature: float) -> None:
    molecule, theirs = system.molecule, ensemble.molecule
    if theirs.smiles != molecule.smiles:
        raise InputError(f"{path} is a reference of '{theirs.smiles}', not of '{molecule.smiles}'.")
    if theirs.bonds != molecule.bonds or (theirs.atomic_numbers != molecule.atomic_numbers).any():
        raise InputError(
            f"{path} has the atoms of '{molecule.smiles}' in another order: make it from the same input."
        )
    for name, here in (("forcefield", system.forcefield), ("solvent", system.solvent)):
        there = ensemble.metadata.get(name)
        if there != here:
            raise InputError(f"{path} is a reference with {name} '{there}', not '{here}'.")
    if not math.isclose(ensemble.temperature, temperature, rel_tol=TEMPERATURE_TOLERANCE):
        raise InputError(f"{path} is a reference at {ensemble.temperature:g} K, not at {temperature:g} K.")
