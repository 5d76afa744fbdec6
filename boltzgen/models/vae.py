"""Variational autoencoder over a molecule's internal coordinates: z ~ N(0, I), x ~ p(x|z), and r(z|x)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field, PositiveInt
from torch import Tensor

from boltzgen.models.base import base_log_prob, sample_base
from boltzgen.models.decoder import ConditionalDecoder
from boltzgen.models.encoder import GaussianEncoder, normal_log_prob
from boltzgen.models.model import Internal, LatentVariableModel

if TYPE_CHECKING:
    from boltzgen.coordinates.internal import MolecularCoordinates

MOST_LATENT = 16


class VAEConfig(BaseModel):
    """Size of a variational autoencoder, and of the bound that its training on frames raises.

    latent_dim: by default two for each torsion, at least 2 and at most 16. importance_samples: K of the
    importance-weighted bound, 1 for the ELBO. beta_warmup_share: share of the training over which the weight
    of the latent terms rises from 0 to 1, against posterior collapse.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    latent_dim: PositiveInt | None = None
    hidden: PositiveInt = 128
    torsion_bins: PositiveInt = 8
    importance_samples: PositiveInt = 1
    beta_warmup_share: float = Field(default=0.2, ge=0.0, lt=1.0)


def default_latent_dim(coordinates: MolecularCoordinates) -> int:
    """Two dimensions hold a circle; a molecule with no degree of freedom has none."""
    degrees_of_freedom = coordinates.n_torsions + coordinates.n_stiff
    return min(max(2 * coordinates.n_torsions, 2), degrees_of_freedom, MOST_LATENT)


class VariationalAutoencoder(LatentVariableModel):
    """p(z) p(x|z) with the auxiliary r(z|x).

    On the extended space it is a bijection like a flow: the latent point is (angles, [stiff base
    coordinates, z]), the molecular one (torsions, [stiff coordinates, z]).
    """

    coordinates: MolecularCoordinates
    config: VAEConfig

    def __init__(self, coordinates: MolecularCoordinates, config: VAEConfig | None = None) -> None:
        super().__init__()
        self.config = config or VAEConfig()
        self.coordinates = coordinates
        self.latent_dim = self.config.latent_dim or default_latent_dim(coordinates)
        hidden = self.config.hidden
        self.decoder = ConditionalDecoder(coordinates, self.latent_dim, hidden, self.config.torsion_bins)
        self.encoder = GaussianEncoder(coordinates, self.latent_dim, hidden)

    def sample_latent(self, n: int, generator: torch.Generator | None = None) -> Internal:
        """``n`` points of the base and z ~ N(0, I)."""
        base = sample_base(self.coordinates, n, generator)
        like = base.stiff
        z = torch.randn(n, self.latent_dim, generator=generator, dtype=like.dtype, device=like.device)
        return Internal(base.torsions, torch.cat([like, z], dim=-1))

    def latent_log_prob(self, latent: Internal) -> Float[Tensor, " batch"]:
        """log density of the base and log p(z)."""
        base, z = self._split(latent)
        return base_log_prob(self.coordinates, base) + normal_log_prob(z)

    def inverse(self, extended: Internal) -> tuple[Internal, Float[Tensor, " batch"]]:
        """(Torsions, [stiff, z]) to the latent point, and log|∂ latent/∂ molecular|."""
        internal, z = self._split(extended)
        base, log_det = self.decoder.inverse(internal, z)
        return Internal(base.torsions, torch.cat([base.stiff, z], dim=-1)), log_det

    def decode(
        self, latent: Internal
    ) -> tuple[Internal, Float[Tensor, "batch atoms 3"], Float[Tensor, " batch"]]:
        """(Torsions, [stiff, z]), positions in nm, and log g = log p(z) + log p(x|z) − log r(z|x)."""
        base, z = self._split(latent)
        internal, decoder_log_det = self.decoder(base, z)
        x, log_det = self.coordinates.to_positions(internal.torsions, internal.stiff)
        log_joint = self.latent_log_prob(latent) - decoder_log_det - log_det
        log_g = log_joint - self.coordinates.log_multiplicity - self.encoder.log_prob(z, internal)
        return Internal(internal.torsions, torch.cat([internal.stiff, z], dim=-1)), x, log_g

    def encoder_log_prob(self, extended: Internal) -> Float[Tensor, " batch"]:
        """log r(z|x) of (torsions, [stiff, z])."""
        internal, z = self._split(extended)
        return self.encoder.log_prob(z, internal)

    def log_importance(
        self, frames: Internal, k: int, beta: float = 1.0, generator: torch.Generator | None = None
    ) -> Float[Tensor, "batch k"]:
        """log p(x|z) + β [log p(z) − log r(z|x)] in the measure dτ dy, at ``k`` points z ~ r(z|x) a frame."""
        repeated = Internal(*(part.repeat_interleave(k, dim=0) for part in frames))
        z, log_r = self.encoder.sample_with_log_prob(repeated, generator)
        base, log_det = self.decoder.inverse(repeated, z)
        log_likelihood = base_log_prob(self.coordinates, base) + log_det
        return (log_likelihood + beta * (normal_log_prob(z) - log_r)).view(-1, k)

    def sample_with_extended_log_prob(
        self, n: int, generator: torch.Generator | None = None
    ) -> tuple[Float[Tensor, "batch atoms 3"], Float[Tensor, " batch"]]:
        """``n`` positions in nm, equivalent rotor substituents labelled at random, and their log g."""
        _, x, log_g = self.decode(self.sample_latent(n, generator))
        return self.coordinates.randomise_labels(x, generator), log_g

    def log_prob_bound(
        self, x: Float[Tensor, "batch atoms 3"], k: int, generator: torch.Generator | None = None
    ) -> Float[Tensor, " batch"]:
        """Stochastic lower bound of log q(x) with ``k`` latent points each (IWAE, Burda 2016, eq. 8)."""
        torsions, stiff, log_det = self.coordinates.from_positions(x)
        log_weights = self.log_importance(Internal(torsions, stiff), k, generator=generator)
        bound = torch.logsumexp(log_weights, dim=1) - math.log(k)
        return bound - log_det - self.coordinates.log_multiplicity

    def _split(self, extended: Internal) -> tuple[Internal, Tensor]:
        n_stiff = self.coordinates.n_stiff
        return Internal(extended.torsions, extended.stiff[:, :n_stiff]), extended.stiff[:, n_stiff:]
