"""Adversarial models: a generator of internal coordinates, and a critic that compares it with frames.

The generator moves a sample of the coordinates' base density, full-dimensional and about thermal already:
stiff coordinates by a displacement, torsions by one of their point on the unit circle, whose angle atan2
takes. What it has to learn is how coordinates depend on each other. The critic sees cosine and sine of the
torsions and the stiff coordinates, in which its slopes are measured.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt
from torch import Tensor, nn

from boltzgen.errors import InputError
from boltzgen.flows.conditioners import Conditioner, TorsionFeatures
from boltzgen.models.model import ImplicitModel, Internal
from boltzgen.objectives.adversarial import CriticEstimate, clip_parameters, critic_estimate

if TYPE_CHECKING:
    from boltzgen.coordinates.internal import MolecularCoordinates


class AdversarialConfig(BaseModel):
    """Sizes of the players and the rules of their game.

    game: "gan", the non-saturating Jensen–Shannon game; "wgan", Kantorovich–Rubinstein with the critic's
    parameters clipped to ±``clip``; "wgan-gp", the same with ``penalty`` (‖∇F‖ − 1)² instead of clipping.
    critic_steps: the critic's steps for one of the generator's. critic_share: of the training, spent at the
    end on the critic alone, so that what it says is about the generator as it is.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    game: Literal["gan", "wgan", "wgan-gp"] = "wgan-gp"
    hidden: PositiveInt = 128
    depth: PositiveInt = 3
    critic_steps: PositiveInt = 3
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


class CriticNetwork(nn.Module):
    """Perceptron from features to one number. With ``clip`` its weights act as if within ±``clip``."""

    def __init__(self, n_features: int, hidden: int, depth: int, clip: float | None = None) -> None:
        super().__init__()
        self.clip = clip
        sizes = [n_features] + depth * [hidden] + [1]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes[:-1], sizes[1:], strict=True))

    def forward(self, features: Float[Tensor, "batch features"]) -> Float[Tensor, " batch"]:
        hidden = features
        for index, layer in enumerate(self.layers):
            hidden = nn.functional.silu(hidden) if index else hidden
            weight, bias = layer.weight, layer.bias
            if self.clip is not None:
                weight, bias = (value.clamp(-self.clip, self.clip) for value in (weight, bias))
            hidden = nn.functional.linear(hidden, weight, bias)
        return hidden[:, 0]

    def project(self) -> None:
        """Puts the parameters back into ±``clip``, where they have a gradient."""
        if self.clip is not None:
            clip_parameters(self.parameters(), self.clip)


class AdversarialModel(ImplicitModel):
    """Generator and critic. Raises InputError for a single atom, which has no coordinates."""

    coordinates: MolecularCoordinates

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

    def sample_latent(self, n: int, generator: torch.Generator | None = None) -> Internal:
        """``n`` points: uniform torsions, stiff coordinates of the base density."""
        stiff = self.coordinates.base.sample(n, generator)
        uniform = torch.rand(
            n, self.coordinates.n_torsions, generator=generator, dtype=stiff.dtype, device=stiff.device
        )
        return Internal((2.0 * uniform - 1.0) * math.pi, stiff)

    def forward(self, latent: Internal) -> Internal:
        """Molecular internal coordinates of latent points."""
        features = self.features(latent)
        moved = features + self.displacement(features).t()
        n = self.coordinates.n_torsions
        return Internal(torch.atan2(moved[:, n : 2 * n], moved[:, :n]), moved[:, 2 * n :])

    def sample(self, n: int, generator: torch.Generator | None = None) -> Float[Tensor, "batch atoms 3"]:
        """``n`` positions in nm, equivalent rotor substituents labelled at random."""
        torsions, stiff = self(self.sample_latent(n, generator))
        x, _ = self.coordinates.to_positions(torsions, stiff)
        return self.coordinates.randomise_labels(x, generator)

    @torch.no_grad()
    def critic_distance(
        self, frames: Internal, generator: torch.Generator | None = None
    ) -> CriticEstimate:
        """What the critic says of W₁ between ``frames`` and as many samples. Raises InputError for a "gan".

        Distances are Euclidean in ``features``. A clipped critic knows W₁ up to its slope only, and its
        slopes vary: of it take the lower bound.
        """
        if self.config.game == "gan":
            raise InputError("A GAN's discriminator measures no transport distance; take wgan or wgan-gp.")
        real = self.features(frames)
        fake = self.features(self(self.sample_latent(len(real), generator)))
        return critic_estimate(self.critic, real, fake, generator)
