"""Adversarial models: a generator of internal coordinates, and a critic that compares it with frames.

The generator moves a sample of the coordinates' base density, full-dimensional and about thermal already:
stiff coordinates by a displacement, torsions by one of their point on the unit circle, whose angle atan2
takes. What it has to learn is how coordinates depend on each other. The critic sees cosine and sine of the
torsions and the stiff coordinates, in which its slopes are measured.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt
from torch import Tensor

from boltzgen.errors import InputError
from boltzgen.flows.conditioners import Conditioner, TorsionFeatures
from boltzgen.models.base import sample_base
from boltzgen.models.critic import CriticNetwork
from boltzgen.models.model import ImplicitModel, Internal

if TYPE_CHECKING:
    from boltzgen.coordinates.internal import MolecularCoordinates


class AdversarialConfig(BaseModel):
    """Sizes of the players and the rules of their game.

    game: "gan", the non-saturating Jensen–Shannon game; "wgan", Kantorovich–Rubinstein with the critic's
    parameters clipped to ±``clip``; "wgan-gp", the same with ``penalty`` (‖∇F‖ − 1)² instead of clipping.
    pace: of both players, as a share of ``TrainingConfig.learning_rate``: at a likelihood's they run in
    circles. critic_steps: the critic's for one of the generator's; a Wasserstein critic that lags behind lets
    the generator drift away. critic_share: of the training, spent at the end on the critic alone, so that
    what it says is about the generator as it is.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    game: Literal["gan", "wgan", "wgan-gp"] = "wgan-gp"
    hidden: PositiveInt = 128
    depth: PositiveInt = 3
    pace: PositiveFloat = 0.4
    critic_steps: PositiveInt = 10
    penalty: PositiveFloat = 10.0
    clip: PositiveFloat = 0.1
    critic_share: float = Field(default=0.2, gt=0.0, lt=1.0)


class GanConfig(AdversarialConfig):
    """A GAN: the critic is a discriminator, and one step of it for one of the generator's is enough."""

    game: Literal["gan"] = "gan"
    critic_steps: PositiveInt = 1


class WganConfig(AdversarialConfig):
    """A Wasserstein GAN with clipped parameters."""

    game: Literal["wgan"] = "wgan"


class WganGpConfig(AdversarialConfig):
    """A Wasserstein GAN with a gradient penalty."""

    game: Literal["wgan-gp"] = "wgan-gp"


class AdversarialModel(ImplicitModel):
    """Generator and critic. Raises InputError for a single atom, which has no coordinates."""

    coordinates: MolecularCoordinates
    config: AdversarialConfig

    def __init__(self, coordinates: MolecularCoordinates, config: AdversarialConfig) -> None:
        super().__init__()
        n_torsions, n_stiff = coordinates.n_torsions, coordinates.n_stiff
        if not n_torsions + n_stiff:
            raise InputError("A single atom has no conformations to learn; give a molecule.")
        self.config, self.coordinates = config, coordinates
        self.torsion_features = TorsionFeatures(coordinates.folds.cpu(), physical=False)
        n_features = 2 * n_torsions + n_stiff
        self.displacement = Conditioner(n_features, n_features, config.hidden, config.depth)
        clip = config.clip if config.game == "wgan" else None
        self.critic = CriticNetwork(n_features, config.hidden, config.depth, clip)

    def features(self, internal: Internal) -> Float[Tensor, "batch features"]:
        """(cos τ, sin τ, y): the space of the critic."""
        return torch.cat([self.torsion_features(internal.torsions), internal.stiff], dim=-1)

    def sample_internal(self, n: int, generator: torch.Generator | None = None) -> Internal:
        """``n`` molecular internal coordinates."""
        return self(sample_base(self.coordinates, n, generator))

    def forward(self, latent: Internal) -> Internal:
        """Molecular internal coordinates of ``latent`` points of the base."""
        features = self.features(latent)
        moved = features + self.displacement(features).t()
        n = self.coordinates.n_torsions
        return Internal(torch.atan2(moved[:, n : 2 * n], moved[:, :n]), moved[:, 2 * n :])

    def sample(self, n: int, generator: torch.Generator | None = None) -> Float[Tensor, "batch atoms 3"]:
        """``n`` positions in nm, equivalent rotor substituents labelled at random."""
        torsions, stiff = self.sample_internal(n, generator)
        x, _ = self.coordinates.to_positions(torsions, stiff)
        return self.coordinates.randomise_labels(x, generator)
