"""Functions of other packages' objects as functions of positions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from boltzgen.molecules import conversion
from boltzgen.molecules.molecule import Molecule
from boltzgen.observables.geometry import Observable, Positions

if TYPE_CHECKING:
    import mdtraj
    from rdkit import Chem


def of_trajectory(
    molecule: Molecule, function: Callable[[mdtraj.Trajectory], Float[np.ndarray, " samples"]]
) -> Observable:
    """A function of an mdtraj trajectory that gives a value a frame, like ``mdtraj.compute_rg``."""
    return lambda x: function(conversion.to_mdtraj(molecule, np.asarray(x, dtype=np.float32)))


def of_conformers(molecule: Molecule, function: Callable[[Chem.Mol, int], float]) -> Observable:
    """A function of an RDKit molecule and the id of a conformer of it, like those of ``rdMolDescriptors``."""

    def value(x: Positions) -> Float[np.ndarray, " samples"]:
        rdmol = conversion.to_rdkit(molecule, x, [{}] * len(x))
        ids = [conformer.GetId() for conformer in rdmol.GetConformers()]
        return np.array([function(rdmol, number) for number in ids], dtype=np.float64)

    return value
