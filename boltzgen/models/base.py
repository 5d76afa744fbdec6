"""The density that models transform: uniform angles, stiff coordinates about as thermal frames have them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from boltzgen.models.model import Internal

if TYPE_CHECKING:
    from boltzgen.coordinates.internal import MolecularCoordinates


def sample_base(
    coordinates: MolecularCoordinates, n: int, generator: torch.Generator | None = None
) -> Internal:
    """``n`` points: torsions uniform on the circle, stiff coordinates of ``coordinates.base``."""
    stiff = coordinates.base.sample(n, generator)
    shape = (n, coordinates.n_torsions)
    uniform = torch.rand(shape, generator=generator, dtype=stiff.dtype, device=stiff.device)
    return Internal((2.0 * uniform - 1.0) * math.pi, stiff)


def base_log_prob(coordinates: MolecularCoordinates, point: Internal) -> Float[Tensor, " batch"]:
    """log density of ``point`` in the measure dτ dy."""
    return coordinates.base.log_prob(point.stiff) - coordinates.n_torsions * math.log(2.0 * math.pi)
