"""How far a three-coordinate atom is out of the plane of its neighbours."""

from __future__ import annotations

import torch
from torch import Tensor

from boltzgen.molecules.symmetry import MolecularGraph

PYRAMID = 0.25  # triple product of the bonds' directions beyond which an atom is out of plane


def pyramid_volume(graph: MolecularGraph, centre: int, x: Tensor) -> Tensor:
    """Triple product [n] of the directions from ``centre`` to its three neighbours, at x [n, atoms, 3]."""
    a, b, c = (
        torch.nn.functional.normalize(x[:, n] - x[:, centre], dim=-1) for n in graph.neighbours[centre]
    )
    return (torch.linalg.cross(a, b) * c).sum(-1)


def is_pyramidal(volume: Tensor, share: float) -> bool:
    """Whether at least ``share`` of the frames' volumes [n] are out of plane."""
    return bool((volume.abs() > PYRAMID).double().mean() >= share)
