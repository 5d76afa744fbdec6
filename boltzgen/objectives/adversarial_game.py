"""Training of two players: steps of the critic and of the generator in turn, or of the critic alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from boltzgen.models.gan import AdversarialModel
from boltzgen.models.model import Internal
from boltzgen.objectives.adversarial import (
    clip_parameters,
    discriminator_loss,
    gradient_penalty,
    interpolates,
    kantorovich_difference,
    non_saturating_loss,
)
from boltzgen.objectives.frames import random_batch
from boltzgen.objectives.objective import Loss, Objective


class CriticTraining(Objective):
    """The critic on ``frames`` and as many samples; the generator stands still."""

    changes_model = True  # it may clip the critic's parameters
    model: AdversarialModel

    def __init__(
        self, model: AdversarialModel, frames: Internal, batch_size: int, generator: torch.Generator
    ) -> None:
        super().__init__(model, generator)
        self.frames, self.batch_size = frames, batch_size

    def loss(self, progress: float) -> Loss:
        return critic_loss(self.model, self.frames, self.batch_size, self.generator)


class AdversarialGame(Objective):
    """The game: ``model.config.critic_steps`` steps of the critic for each one of the generator."""

    kept = ("turn",)
    model: AdversarialModel

    def __init__(
        self, model: AdversarialModel, frames: Internal, batch_size: int, generator: torch.Generator
    ) -> None:
        super().__init__(model, generator)
        self.frames, self.batch_size = frames, batch_size
        self.turn = 0

    def loss(self, progress: float) -> Loss:
        self.turn = (self.turn + 1) % (self.model.config.critic_steps + 1)
        if self.turn:
            return critic_loss(self.model, self.frames, self.batch_size, self.generator)
        with _frozen(self.model.critic):
            samples = self.model.sample_internal(self.batch_size, self.generator)
            fake = self.model.critic(self.model.features(samples))
        return Loss(non_saturating_loss(fake) if self.model.config.game == "gan" else -fake.mean())


def critic_loss(
    model: AdversarialModel, frames: Internal, batch_size: int, generator: torch.Generator
) -> Loss:
    """What the critic minimises in its turn; clips its parameters first where the rules say so."""
    real = model.features(random_batch(frames, batch_size, generator))
    with torch.no_grad():
        fake = model.features(model.sample_internal(batch_size, generator))
    if model.config.game == "wgan":
        clip_parameters(model.critic.parameters(), model.config.clip)
    return Loss(_critic_value(model, real, fake, generator))


def _critic_value(model: AdversarialModel, real: Tensor, fake: Tensor, generator: torch.Generator) -> Tensor:
    critic, rules = model.critic, model.config
    if rules.game == "gan":
        return discriminator_loss(critic(real), critic(fake))
    value = -kantorovich_difference(critic(real), critic(fake))
    if rules.game == "wgan":
        return value
    return value + rules.penalty * gradient_penalty(critic, interpolates(real, fake, generator))


@contextmanager
def _frozen(module: nn.Module) -> Iterator[None]:
    """Parameters of ``module`` take no part in gradients of what is computed inside."""
    module.requires_grad_(False)
    try:
        yield
    finally:
        module.requires_grad_(True)
