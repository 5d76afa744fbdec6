"""A VAE that learns from frames of two domains: few at the target's temperature, many at a higher one.

The encoder is not told the domain and the decoder is. A classifier tries to tell the domain from z, and its
gradient reaches the encoder reversed (Ganin et al., JMLR 17, 59 (2016)): z comes to hold what both domains
have in common, so that what the decoder learns from hot frames serves at the target's temperature too.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveInt
from torch import Tensor

from boltzgen.errors import InputError
from boltzgen.models.base import base_log_prob, sample_base
from boltzgen.models.critic import CriticNetwork
from boltzgen.models.decoder import ConditionalDecoder
from boltzgen.models.encoder import GaussianEncoder, normal_log_prob
from boltzgen.models.model import Internal, LatentVariableModel
from boltzgen.models.vae import default_latent_dim

if TYPE_CHECKING:
    from boltzgen.coordinates.internal import MolecularCoordinates

TARGET, HOT = 0, 1


class DomainAdversarialConfig(BaseModel):
    """Size of the model and strength of its adversary.

    adversary: whether the classifier's gradient reaches the encoder; without, it only watches. strength: of
    that gradient, beside the likelihood of a frame (nats). latent_dim: as a VAE's. beta_warmup_share: share
    of the training over which the weight of the latent terms, and the strength, rise from 0.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    adversary: bool = True
    strength: NonNegativeFloat = 1.0
    target_share: float = Field(default=0.1, gt=0.0, lt=1.0)
    latent_dim: PositiveInt | None = None
    hidden: PositiveInt = 128
    torsion_bins: PositiveInt = 8
    classifier_hidden: PositiveInt = 64
    beta_warmup_share: float = Field(default=0.2, ge=0.0, lt=1.0)


class DomainAdversarialModel(LatentVariableModel):
    """p(z) p(x|z, domain) with r(z|x) and a classifier of domains; generates at the target's temperature.

    Raises InputError for a single atom, which has no coordinates.
    """

    coordinates: MolecularCoordinates
    config: DomainAdversarialConfig
    domains: Tensor

    def __init__(
        self, coordinates: MolecularCoordinates, config: DomainAdversarialConfig | None = None
    ) -> None:
        super().__init__()
        if not coordinates.n_torsions + coordinates.n_stiff:
            raise InputError("A single atom has no conformations to learn; give a molecule.")
        self.config = config or DomainAdversarialConfig()
        self.coordinates = coordinates
        self.latent_dim = self.config.latent_dim or default_latent_dim(coordinates)
        hidden, bins = self.config.hidden, self.config.torsion_bins
        self.decoder = ConditionalDecoder(coordinates, self.latent_dim + 1, hidden, bins)
        self.encoder = GaussianEncoder(coordinates, self.latent_dim, hidden)
        self.classifier = CriticNetwork(self.latent_dim, self.config.classifier_hidden, depth=2)
        self.register_buffer("domains", torch.tensor([-1.0, 1.0]), persistent=False)

    def log_joint_and_latent(
        self, frames: Internal, domain: int, beta: float = 1.0, generator: torch.Generator | None = None
    ) -> tuple[Float[Tensor, " batch"], Float[Tensor, "batch latent"]]:
        """log p(x|z, domain) + β [log p(z) − log r(z|x)] in the measure dτ dy, and the z ~ r(z|x)."""
        z, log_r = self.encoder.sample_with_log_prob(frames, generator)
        base, log_det = self.decoder.inverse(frames, self._context(z, domain))
        log_likelihood = base_log_prob(self.coordinates, base) + log_det
        return log_likelihood + beta * (normal_log_prob(z) - log_r), z

    def sample_with_extended_log_prob(
        self, n: int, generator: torch.Generator | None = None
    ) -> tuple[Float[Tensor, "batch atoms 3"], Float[Tensor, " batch"]]:
        """``n`` positions in nm of the target's domain, rotors labelled at random, and their log g."""
        base = sample_base(self.coordinates, n, generator)
        shape = (n, self.latent_dim)
        z = torch.randn(shape, generator=generator, dtype=base.stiff.dtype, device=base.stiff.device)
        internal, decoder_log_det = self.decoder(base, self._context(z, TARGET))
        x, log_det = self.coordinates.to_positions(internal.torsions, internal.stiff)
        log_joint = normal_log_prob(z) + base_log_prob(self.coordinates, base) - decoder_log_det - log_det
        log_g = log_joint - self.coordinates.log_multiplicity - self.encoder.log_prob(z, internal)
        return self.coordinates.randomise_labels(x, generator), log_g

    def log_prob_bound(
        self, x: Float[Tensor, "batch atoms 3"], k: int, generator: torch.Generator | None = None
    ) -> Float[Tensor, " batch"]:
        """Stochastic lower bound of log q(x) with ``k`` latent points each (IWAE, Burda 2016, eq. 8)."""
        torsions, stiff, log_det = self.coordinates.from_positions(x)
        repeated = Internal(torsions.repeat_interleave(k, dim=0), stiff.repeat_interleave(k, dim=0))
        terms, _ = self.log_joint_and_latent(repeated, TARGET, generator=generator)
        bound = torch.logsumexp(terms.view(-1, k), dim=1) - math.log(k)
        return bound - log_det - self.coordinates.log_multiplicity

    @torch.no_grad()
    def domain_accuracy(
        self, frames: Internal, hot_frames: Internal, generator: torch.Generator | None = None
    ) -> float:
        """Balanced accuracy of the model's own classifier on z ~ r(z|x); 0.5 where z does not tell."""
        shares = []
        for part, domain in ((frames, TARGET), (hot_frames, HOT)):
            z, _ = self.encoder.sample_with_log_prob(part, generator)
            shares.append(float(((self.classifier(z) > 0.0) == bool(domain)).double().mean()))
        return sum(shares) / len(shares)

    def _context(self, z: Tensor, domain: int) -> Tensor:
        """z and the domain: what the decoder is told."""
        return torch.cat([z, self.domains[domain].to(z).expand(len(z), 1)], dim=-1)
