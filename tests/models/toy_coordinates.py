"""Coordinates of an imaginary molecule: its positions are its internal coordinates, packed three a row.

Lets models and objectives be tested against densities known in closed form.
"""

import math

import torch
from torch import Tensor, nn


class StandardNormal(nn.Module):
    def __init__(self, n: int) -> None:
        super().__init__()
        self.n = n
        self.register_buffer("multimodal_indices", torch.zeros(0, dtype=torch.long))

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        return torch.randn(n, self.n, generator=generator, dtype=torch.float64)

    def log_prob(self, y: Tensor) -> Tensor:
        return -0.5 * y.square().sum(-1) - 0.5 * self.n * math.log(2 * math.pi)


class ToyCoordinates(nn.Module):
    """``n_torsions`` angles and ``n_stiff`` lengths, volume element 1."""

    def __init__(self, n_torsions: int, n_stiff: int) -> None:
        super().__init__()
        assert (n_torsions + n_stiff) % 3 == 0
        self.n_torsions, self.n_stiff = n_torsions, n_stiff
        self.register_buffer("folds", torch.ones(n_torsions, dtype=torch.long))
        self.log_multiplicity = 0.0
        self.base = StandardNormal(n_stiff)

    def to_positions(self, torsions: Tensor, stiff: Tensor) -> tuple[Tensor, Tensor]:
        packed = torch.cat([torsions, stiff], dim=-1)
        return packed.view(len(packed), -1, 3), packed.new_zeros(len(packed))

    def from_positions(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        packed = x.reshape(len(x), -1)
        return packed[:, : self.n_torsions], packed[:, self.n_torsions :], packed.new_zeros(len(x))

    def contains(self, x: Tensor) -> Tensor:
        return torch.ones(len(x), dtype=torch.bool)

    def randomise_labels(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return x


class TorusAndGaussian:
    """u(τ, y) = −κ Σ cos(τ − m) + ½ Σ((y − μ(τ))/σ)²; log Z in closed form."""

    def __init__(self, n_torsions: int, n_stiff: int, kappa: float = 1.5, coupled: float = 0.0) -> None:
        self.n_torsions, self.kappa, self.coupled = n_torsions, kappa, coupled
        self.sigma = torch.linspace(0.5, 2.0, n_stiff, dtype=torch.float64)
        self.log_Z = float(
            n_torsions * math.log(2 * math.pi * torch.special.i0(torch.tensor(kappa, dtype=torch.float64)))
            + torch.log(self.sigma).sum()
            + 0.5 * n_stiff * math.log(2 * math.pi)
        )
        self.evaluations = 0

    def reduced_energy(self, x: Tensor) -> Tensor:
        self.evaluations += len(x)
        packed = x.reshape(len(x), -1)
        torsions, stiff = packed[:, : self.n_torsions], packed[:, self.n_torsions :]
        centre = self.coupled * torsions.sin().sum(-1, keepdim=True)
        angular = -self.kappa * (torsions - 1.0).cos().sum(-1)
        return angular + 0.5 * ((stiff - centre) / self.sigma).square().sum(-1)
