"""What conformations are compared by: torsions, energies, distances between atoms, internal coordinates."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float

from boltzgen.coordinates.internal import MolecularCoordinates
from boltzgen.molecules.torsions import Torsion, torsion_values

CHUNK = 4096


@dataclass(frozen=True)
class Described:
    """Conformations in numbers, one row each.

    positions: nm. torsions: radians, those that tell conformers apart. energies: U/kT. distances: nm, between
    all pairs of atoms in canonical labels, divided by √pairs so that Euclidean distances are root mean
    squares over pairs. features: cosine and sine of the model's circle coordinates and the whitened stiff
    ones, which together determine the conformation.
    """

    positions: Float[np.ndarray, "samples atoms 3"]
    torsions: Float[np.ndarray, "samples torsions"]
    energies: Float[np.ndarray, " samples"]
    distances: Float[np.ndarray, "samples pairs"]
    features: Float[np.ndarray, "samples features"]

    def __len__(self) -> int:
        return len(self.energies)

    def take(self, rows: np.ndarray) -> Described:
        """The given rows, by indices or by a mask."""
        return replace(self, **{name: values[rows] for name, values in vars(self).items()})


def describe(
    coordinates: MolecularCoordinates,
    torsions: list[Torsion],
    positions: Float[np.ndarray, "samples atoms 3"],
    energies: Float[np.ndarray, " samples"],
) -> Described:
    """Of positions in nm with reduced energies. Rows do not depend on the labels of equivalent atoms."""
    parts = [_chunk(coordinates, positions[i : i + CHUNK]) for i in range(0, len(positions), CHUNK)]
    labelled, distances, features = (np.concatenate(part) for part in zip(*parts, strict=True))
    values = torsion_values(labelled, torsions)
    return Described(positions, values, np.asarray(energies, np.float64), distances, features)


@torch.no_grad()
def _chunk(coordinates: MolecularCoordinates, positions: np.ndarray) -> tuple[np.ndarray, ...]:
    whitening = coordinates.whitening.mean
    x = coordinates.canonicalise(torch.as_tensor(positions).to(whitening))
    first, second = np.triu_indices(x.shape[1], 1)
    distances = (x[:, first] - x[:, second]).norm(dim=-1) / max(len(first), 1) ** 0.5
    torsions, stiff, _ = coordinates.from_positions(x)
    features = torch.nan_to_num(torch.cat([torsions.cos(), torsions.sin(), stiff], dim=1))
    return tuple(values.double().cpu().numpy() for values in (x, distances, features))
