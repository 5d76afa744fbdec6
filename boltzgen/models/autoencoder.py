"""Autoencoder over a molecule's internal coordinates: a code, what it decodes to, and no density of its own.

Frames are coded and decoded again; the density of the codes, which makes a generator of it, is a Gaussian
mixture fitted afterwards. The loss is a distance in internal coordinates, not of superposed positions: a
small change of a torsion in a molecule's middle moves whole ends, while a stretched bond, which costs far
more energy, moves hardly anything. Internal coordinates weigh each by its thermal spread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field, PositiveInt
from torch import Tensor, nn

from boltzgen.coordinates.base import MixtureBlock
from boltzgen.flows.conditioners import Conditioner
from boltzgen.models.encoder import InternalFeatures
from boltzgen.models.mixture import fit_mixture
from boltzgen.models.model import ImplicitModel, Internal

if TYPE_CHECKING:
    from boltzgen.coordinates.internal import MolecularCoordinates

FREE_STIFF = 4
MOST_LATENT = 32
LEAST_RADIUS = 1e-6


class AutoencoderConfig(BaseModel):
    """Size of an autoencoder.

    latent_dim: by default two for each torsion and four more, at most 32. latent_components: Gaussians of
    the mixture over the codes. latent_share: of the training, for that mixture's weights.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    latent_dim: PositiveInt | None = None
    hidden: PositiveInt = 128
    latent_components: PositiveInt = 16
    latent_share: float = Field(default=0.05, gt=0.0, lt=1.0)


class Autoencoder(ImplicitModel):
    """z = e(x), x′ = d(z); samples are d(z) with z of a mixture fitted to codes of frames."""

    coordinates: MolecularCoordinates
    config: AutoencoderConfig

    def __init__(self, coordinates: MolecularCoordinates, config: AutoencoderConfig | None = None) -> None:
        super().__init__()
        self.config = config or AutoencoderConfig()
        self.coordinates = coordinates
        degrees_of_freedom = coordinates.n_torsions + coordinates.n_stiff
        rule = min(2 * coordinates.n_torsions + FREE_STIFF, degrees_of_freedom, MOST_LATENT)
        self.latent_dim = self.config.latent_dim or rule
        hidden = self.config.hidden
        self.features = InternalFeatures(coordinates)
        self.encoder = Conditioner(self.features.n_features, self.latent_dim, hidden)
        self.decoder = Conditioner(self.latent_dim, 2 * coordinates.n_torsions + coordinates.n_stiff, hidden)
        self.latent = MixtureBlock(list(range(self.latent_dim)), self.config.latent_components)
        with torch.no_grad():
            if self.features.n_features:
                # With equal codes for all, the decoder would learn to do without them.
                nn.init.normal_(self.encoder.last.weight, std=hidden**-0.5)
            self.decoder.bias[: coordinates.n_torsions] = 1.0  # directions of length one, at angle 0

    def encode(self, internal: Internal) -> Float[Tensor, "batch latent"]:
        """The code of each frame."""
        return self.encoder(self.features(internal)).T.expand(len(internal.stiff), -1)

    def decode_directions(
        self, z: Float[Tensor, "batch latent"]
    ) -> tuple[Float[Tensor, "batch torsions 2"], Float[Tensor, "batch stiff"]]:
        """Torsions as unit vectors (cos τ, sin τ), and stiff coordinates."""
        outputs = self.decoder(z).T.expand(len(z), -1)
        n = self.coordinates.n_torsions
        vectors = torch.stack([outputs[:, :n], outputs[:, n : 2 * n]], dim=-1)
        lengths = (vectors.square().sum(-1, keepdim=True) + LEAST_RADIUS**2).sqrt()
        return vectors / lengths, outputs[:, 2 * n :]

    def decode(self, z: Float[Tensor, "batch latent"]) -> Internal:
        """Internal coordinates of each code."""
        directions, stiff = self.decode_directions(z)
        return Internal(torch.atan2(directions[..., 1], directions[..., 0]), stiff)

    def reconstruction_loss(self, frames: Internal) -> Float[Tensor, " batch"]:
        """Σ (1 − cos(τ′ − τ)) + ½ Σ (y′ − y)² of each frame: ½ ‖x′ − x‖² where x′ is near x."""
        directions, stiff = self.decode_directions(self.encode(frames))
        cosines = directions[..., 0] * frames.torsions.cos() + directions[..., 1] * frames.torsions.sin()
        return (1.0 - cosines).sum(-1) + 0.5 * (stiff - frames.stiff).square().sum(-1)

    @property
    def has_latent_density(self) -> bool:
        """Whether the mixture over the codes has been fitted."""
        return bool((self.latent.means != 0).any())

    @torch.no_grad()
    def fit_latent(self, frames: Internal, generator: torch.Generator | None = None) -> None:
        """Fits the mixture over the codes to those of ``frames``."""
        codes = self.encode(frames)
        if self.latent_dim:
            self.latent.set(*fit_mixture(codes, self.config.latent_components, generator))

    def latent_log_prob(self, frames: Internal) -> Float[Tensor, " batch"]:
        """log density of the codes of ``frames`` in the mixture; the codes are held fixed."""
        return self.latent.log_prob(self.encode(frames).detach())

    def sample(self, n: int, generator: torch.Generator | None = None) -> Float[Tensor, "batch atoms 3"]:
        """``n`` positions in nm, equivalent rotor substituents labelled at random."""
        like = self.decoder.bias
        normal = torch.randn(n, self.latent_dim, generator=generator, dtype=like.dtype, device=like.device)
        internal = self.decode(self.latent.transform(normal, generator))
        x, _ = self.coordinates.to_positions(internal.torsions, internal.stiff)
        return self.coordinates.randomise_labels(x, generator)


@torch.no_grad()
def reconstruction_error(model: Autoencoder, frames: Internal) -> float:
    """Mean over ``frames`` of the RMSD in nm between a frame and what its code decodes to, superposed."""
    x, _ = model.coordinates.to_positions(*frames)
    y, _ = model.coordinates.to_positions(*model.decode(model.encode(frames)))
    return float(superposed_rmsd(x.double(), y.double()).mean())


def superposed_rmsd(
    x: Float[Tensor, "batch atoms 3"], y: Float[Tensor, "batch atoms 3"]
) -> Float[Tensor, " batch"]:
    """Least RMSD over rotations, without reflection, and translations (Kabsch 1976)."""
    x, y = x - x.mean(1, keepdim=True), y - y.mean(1, keepdim=True)
    covariance = x.transpose(1, 2) @ y
    singular = torch.linalg.svdvals(covariance)
    sign = torch.linalg.det(covariance).sign()
    overlap = singular[:, 0] + singular[:, 1] + torch.where(sign < 0, -1.0, 1.0) * singular[:, 2]
    squares = (x.square().sum((1, 2)) + y.square().sum((1, 2)) - 2.0 * overlap) / x.shape[1]
    return squares.clamp_min(0.0).sqrt()
