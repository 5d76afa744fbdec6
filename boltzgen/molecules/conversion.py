"""Positions of a molecule as other programs have them, and with equivalent atoms exchanged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from rdkit import Chem

from boltzgen.molecules.molecule import Molecule
from boltzgen.molecules.stereo import conformer
from boltzgen.molecules.symmetry import MolecularGraph

if TYPE_CHECKING:
    import mdtraj

Positions = Float[np.ndarray, "frames atoms 3"]


def to_mdtraj(molecule: Molecule, positions: Positions) -> mdtraj.Trajectory:
    """A trajectory of ``positions`` (nm), superposed on the first frame."""
    import mdtraj

    return mdtraj.Trajectory(superposed(positions), molecule.to_mdtraj_topology())


def superposed(positions: Positions) -> Positions:
    """``positions`` centred on the origin and turned onto the first frame.

    The rotation of least deviation is by singular values (Kabsch, Acta Cryst. A 32, 922 (1976)), which linear
    molecules have too. No frame is reflected.
    """
    centred = positions - positions.mean(axis=1, keepdims=True)
    left, _, right = np.linalg.svd(np.einsum("fai,aj->fij", centred.astype(np.float64), centred[0]))
    sign = np.linalg.det(left @ right)
    left[:, :, 2] *= sign[:, None]
    return np.einsum("fai,fij->faj", centred, left @ right).astype(positions.dtype)


def to_rdkit(
    molecule: Molecule, positions: Positions, properties: Sequence[Mapping[str, float | str]]
) -> Chem.Mol:
    """An RDKit molecule with a conformer for each of ``positions`` (nm), which has its ``properties``."""
    rdmol = Chem.Mol(molecule.rdmol)
    rdmol.RemoveAllConformers()
    for x, values in zip(positions, properties, strict=True):
        added = conformer(x)
        for name, value in values.items():
            if isinstance(value, str):
                added.SetProp(name, value)
            else:
                added.SetDoubleProp(name, float(value))
        rdmol.AddConformer(added, assignId=True)
    return rdmol


def relabelled(
    molecule: Molecule, positions: Positions, seed: int, marks: Sequence[int] | None = None
) -> Positions:
    """Each of ``positions`` with a random one of the labellings that the molecular graph cannot tell apart.

    Atoms of different ``marks`` [atoms] do not exchange labels.
    """
    random = np.random.default_rng(seed)
    graph = MolecularGraph.from_rdmol(molecule.rdmol)
    graph = graph if marks is None else graph.marked(marks)
    for level in graph.automorphism_chain():
        chosen = np.array(level)[random.integers(len(level), size=len(positions))]
        positions = np.take_along_axis(positions, chosen[:, :, None], axis=1)
    return positions
