"""Molecules of the lists and frames of them: seed conformers with random displacements, several basins."""

from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from boltzgen.coordinates.build import build_coordinates
from boltzgen.coordinates.internal import MolecularCoordinates
from boltzgen.molecules.molecule import Molecule

DISPLACEMENT = 0.004  # nm, about that of a bond at 300 K
LISTS = (Path(__file__).parents[1] / "molecules.smi", Path(__file__).parent / "molecules_coordinates.smi")


def listed() -> dict[str, str]:
    """SMILES by name, of both lists."""
    lines = [line.split() for path in LISTS for line in path.read_text().splitlines() if line.strip()]
    return {name: smiles for smiles, name in lines}


@cache
def molecule(name: str) -> Molecule:
    """The molecule of that name; the first stereoisomer where the list leaves stereo open."""
    return Molecule.stereoisomers(listed()[name])[0]


@cache
def frames(name: str, seeds: int = 6, copies: int = 20) -> Tensor:
    """Frames [n, atoms, 3] nm float64."""
    starts = np.repeat(molecule(name).seed_conformers(seeds), copies, 0)
    noise = np.random.default_rng(0).standard_normal(starts.shape)
    return torch.as_tensor(starts + DISPLACEMENT * noise)


@cache
def coordinates(name: str) -> MolecularCoordinates:
    """Coordinates in float64."""
    return build_coordinates(molecule(name), frames(name), dtype=torch.float64)


def samples(name: str, n: int, scale: float = 1.0) -> tuple[Tensor, Tensor]:
    """Uniform torsions, and stiff coordinates of the base with all deviations ``scale`` times thermal."""
    generator = torch.Generator().manual_seed(1)
    coords = coordinates(name)
    torsions = (2 * torch.rand(n, coords.n_torsions, generator=generator, dtype=torch.float64) - 1) * torch.pi
    stiff = scale * torch.randn(n, coords.n_stiff, generator=generator, dtype=torch.float64)
    for block in coords.base.blocks:
        stiff[:, block.indices] = block.transform(stiff[:, block.indices], generator)
    return torsions, stiff
