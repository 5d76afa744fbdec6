"""r(z|x): a normal distribution of latent points for given internal coordinates."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor, nn

from boltzgen.flows.conditioners import Conditioner, TorsionFeatures
from boltzgen.models.model import Internal

if TYPE_CHECKING:
    from boltzgen.coordinates.internal import MolecularCoordinates

MAX_LOG_SCALE = 4.0
FIRST_MEAN_SCALE = 0.5


class InternalFeatures(nn.Module):
    """Internal coordinates as numbers that a network can use: torsions smooth on the circle, stiff ones."""

    def __init__(self, coordinates: MolecularCoordinates) -> None:
        super().__init__()
        self.torsions = TorsionFeatures(coordinates.folds.cpu(), physical=True)
        self.n_features = self.torsions.n_features + coordinates.n_stiff

    def forward(self, internal: Internal) -> Float[Tensor, "batch features"]:
        return torch.cat([self.torsions(internal.torsions), internal.stiff], dim=-1)


def normal_log_prob(z: Float[Tensor, "batch latent"]) -> Float[Tensor, " batch"]:
    """log N(z; 0, I)."""
    return -0.5 * z.square().sum(-1) - 0.5 * z.shape[-1] * math.log(2.0 * math.pi)


class GaussianEncoder(nn.Module):
    """N(z; μ(x), L(x) L(x)ᵀ) with a full lower-triangular L.

    Its means start different from each other: with all equal, z says nothing of x, the decoder learns to do
    without it, and there training would stay.
    """

    rows: Tensor
    columns: Tensor

    def __init__(self, coordinates: MolecularCoordinates, latent_dim: int, hidden: int) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.features = InternalFeatures(coordinates)
        rows, columns = torch.tril_indices(latent_dim, latent_dim, offset=-1)
        self.register_buffer("rows", rows, persistent=False)
        self.register_buffer("columns", columns, persistent=False)
        self.network = Conditioner(self.features.n_features, 2 * latent_dim + len(rows), hidden)
        if self.features.n_features:
            with torch.no_grad():
                self.network.last.weight[:latent_dim].normal_(std=FIRST_MEAN_SCALE / math.sqrt(hidden))

    def _mean_and_factor(self, internal: Internal) -> tuple[Tensor, Tensor]:
        """μ [batch, latent] and L [batch, latent, latent]."""
        outputs = self.network(self.features(internal)).T.expand(len(internal.stiff), -1)
        d = self.latent_dim
        mean, raw_scale, below = outputs[:, :d], outputs[:, d : 2 * d], outputs[:, 2 * d :]
        scale = (MAX_LOG_SCALE * torch.tanh(raw_scale / MAX_LOG_SCALE)).exp()
        factor = torch.diag_embed(scale)
        factor[:, self.rows, self.columns] = below
        return mean, factor

    def sample_with_log_prob(
        self, internal: Internal, generator: torch.Generator | None = None
    ) -> tuple[Float[Tensor, "batch latent"], Float[Tensor, " batch"]]:
        """One z of each r(z|x), differentiable in μ and L, and its log density."""
        mean, factor = self._mean_and_factor(internal)
        noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype, device=mean.device)
        z = mean + (factor @ noise[:, :, None])[:, :, 0]
        return z, normal_log_prob(noise) - _log_det(factor)

    def log_prob(self, z: Float[Tensor, "batch latent"], internal: Internal) -> Float[Tensor, " batch"]:
        """log r(z|x)."""
        mean, factor = self._mean_and_factor(internal)
        noise = torch.linalg.solve_triangular(factor, (z - mean)[:, :, None], upper=False)[:, :, 0]
        return normal_log_prob(noise) - _log_det(factor)


def _log_det(factor: Tensor) -> Tensor:
    return factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
