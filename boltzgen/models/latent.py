"""A flow's latent space as a place to sample: there the target is nearly the simple base density.

Plain Hamiltonian trajectories need no preconditioning there (Hoffman et al. 2019). The circle of each torsion
is kept.
"""

from __future__ import annotations

import math
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from boltzgen.models.flow import FlowModel
from boltzgen.models.model import Internal


@runtime_checkable
class EnergyTarget(Protocol):
    """What refinement needs of a target: reduced energies that can be differentiated."""

    def reduced_energy(self, x: Tensor) -> Tensor: ...


class LatentDensities:
    """log base(z) and log p̃(g(z)) |∂g/∂z| of latent points z = [torsions, stiff coordinates] of a flow g.

    p̃ = exp(−u) in the measure of ``coordinates/internal.py``, so that weights have the mean Z; it is zero
    where the coordinates do not contain g(z).
    """

    def __init__(self, model: FlowModel, target: EnergyTarget) -> None:
        self.model, self.target = model, target
        self.n_torsions = model.coordinates.n_torsions
        self.evaluations = 0

    def __call__(self, z: Tensor) -> tuple[Tensor, Tensor]:
        self.evaluations += len(z)
        latent = self.latent(z)
        _, x, log_q = self.model.decode(latent)
        log_base = self.model.latent_log_prob(latent)
        log_target = log_base - log_q - self.target.reduced_energy(x)
        return log_base, torch.where(self.model.coordinates.contains(x.detach()), log_target, -math.inf)

    def latent(self, z: Tensor) -> Internal:
        return Internal(z[:, : self.n_torsions], z[:, self.n_torsions :])

    def sample(self, n: int, generator: torch.Generator | None) -> Tensor:
        """``n`` latent points of the base."""
        return torch.cat(tuple(self.model.sample_latent(n, generator)), dim=1)

    def wrap(self, z: Tensor) -> Tensor:
        """Torsions back into [−π, π)."""
        torsions, stiff = self.latent(z)
        return torch.cat((torch.remainder(torsions + math.pi, 2 * math.pi) - math.pi, stiff), dim=1)
