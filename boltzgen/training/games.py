"""Training of two players in the one loop: its steps are the critic's and the generator's in turn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from boltzgen.errors import InputError
from boltzgen.models.gan import AdversarialModel
from boltzgen.models.model import Internal
from boltzgen.objectives.adversarial import (
    discriminator_loss,
    gradient_penalty,
    interpolates,
    kantorovich_difference,
    non_saturating_loss,
)
from boltzgen.training.config import TrainingConfig
from boltzgen.training.trainer import Loss, Stage

BETAS = {"gan": (0.5, 0.99), "wgan": (0.0, 0.9), "wgan-gp": (0.0, 0.9)}


def adversarial_stages(
    model: AdversarialModel, frames: Internal | None, config: TrainingConfig, generator: torch.Generator
) -> list[Stage]:
    """The game on ``frames``, then the critic alone. Raises InputError where there are no frames."""
    if frames is None:
        raise InputError(f"Model '{model.config.game}' learns from frames and there are none; give some.")
    rules, betas = model.config, BETAS[model.config.game]
    features = model.features(frames)
    turn = 0

    def critic_loss() -> Loss:
        device = features.device
        chosen = torch.randint(len(features), (config.batch_size,), generator=generator, device=device)
        real = features[chosen]
        with torch.no_grad():
            fake = model.features(model(model.sample_latent(config.batch_size, generator)))
        model.critic.project()
        return Loss(_critic_value(model, real, fake, generator))

    def generator_loss() -> Loss:
        with _frozen(model.critic):
            fake = model.critic(model.features(model(model.sample_latent(config.batch_size, generator))))
        return Loss(non_saturating_loss(fake) if rules.game == "gan" else -fake.mean())

    def game(progress: float) -> Loss:
        nonlocal turn
        turn = (turn + 1) % (rules.critic_steps + 1)
        return critic_loss() if turn else generator_loss()

    def judge(progress: float) -> Loss:
        return critic_loss()

    share, rate = rules.critic_share, config.learning_rate
    return [
        Stage("game", 1.0 - share, rate, game, betas=betas),
        Stage("critic", share, rate, judge, betas=betas),
    ]


def _critic_value(
    model: AdversarialModel, real: Tensor, fake: Tensor, generator: torch.Generator
) -> Tensor:
    """What the critic minimises in its turn."""
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
