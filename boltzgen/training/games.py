"""Training of two players in the one loop: its steps are the critic's and the generator's in turn."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from boltzgen.errors import InputError
from boltzgen.models.domain_adversarial import HOT, TARGET, DomainAdversarialModel
from boltzgen.models.gan import AdversarialModel
from boltzgen.objectives.adversarial import (
    clip_parameters,
    critic_distance,
    discriminator_loss,
    domain_loss,
    gradient_penalty,
    interpolates,
    kantorovich_difference,
    non_saturating_loss,
    reverse_gradient,
)
from boltzgen.objectives.elbo import beta_schedule
from boltzgen.training.config import TrainingConfig
from boltzgen.training.materials import Materials, batch, required_frames
from boltzgen.training.stage import Loss, Stage

BETAS = {"gan": (0.5, 0.99), "wgan": (0.0, 0.9), "wgan-gp": (0.0, 0.9)}
FIGURE_FRAMES = 8192


def adversarial_stages(model: AdversarialModel, materials: Materials, config: TrainingConfig) -> list[Stage]:
    """The game on the frames, then the critic alone. Raises InputError where there are no frames."""
    frames, generator = required_frames(materials), materials.generator
    rules, betas = model.config, BETAS[model.config.game]
    turn = 0

    def critic_loss() -> Loss:
        real = model.features(batch(frames, config.batch_size, generator))
        with torch.no_grad():
            fake = model.features(model.sample_internal(config.batch_size, generator))
        if rules.game == "wgan":
            clip_parameters(model.critic.parameters(), rules.clip)
        return Loss(_critic_value(model, real, fake, generator))

    def generator_loss() -> Loss:
        with _frozen(model.critic):
            fake = model.critic(model.features(model.sample_internal(config.batch_size, generator)))
        return Loss(non_saturating_loss(fake) if rules.game == "gan" else -fake.mean())

    def game(progress: float) -> Loss:
        nonlocal turn
        turn = (turn + 1) % (rules.critic_steps + 1)
        return critic_loss() if turn else generator_loss()

    def judge(progress: float) -> Loss:
        return critic_loss()

    share, rate = rules.critic_share, rules.pace * config.learning_rate
    return [
        Stage("game", 1.0 - share, rate, game, betas=betas),
        Stage("critic", share, rate, judge, betas=betas),
    ]


def _critic_value(model: AdversarialModel, real: Tensor, fake: Tensor, generator: torch.Generator) -> Tensor:
    """What the critic minimises in its turn."""
    critic, rules = model.critic, model.config
    if rules.game == "gan":
        return discriminator_loss(critic(real), critic(fake))
    value = -kantorovich_difference(critic(real), critic(fake))
    if rules.game == "wgan":
        return value
    return value + rules.penalty * gradient_penalty(critic, interpolates(real, fake, generator))


def domain_adversarial_stages(
    model: DomainAdversarialModel, materials: Materials, config: TrainingConfig
) -> list[Stage]:
    """The bound on frames of both domains, against a classifier that both count alike for.

    Raises InputError where frames of a domain are missing.
    """
    frames, hot_frames, generator = required_frames(materials), materials.hot_frames, materials.generator
    if hot_frames is None or not len(hot_frames.stiff):
        raise InputError("This model learns from frames at two temperatures and has one; give hot frames.")
    rules = model.config
    n_target = max(round(rules.target_share * config.batch_size), 1)
    n_hot = max(config.batch_size - n_target, 1)

    def loss(progress: float) -> Loss:
        beta = beta_schedule(progress, rules.beta_warmup_share)
        strength = beta * rules.strength if rules.adversary else 0.0
        bound, latent = zip(
            model.log_joint_and_latent(batch(frames, n_target, generator), TARGET, beta, generator),
            model.log_joint_and_latent(batch(hot_frames, n_hot, generator), HOT, beta, generator),
            strict=True,
        )
        logits = [model.classifier(reverse_gradient(z, strength)) for z in latent]
        return Loss(domain_loss(*logits) - torch.cat(bound).mean())

    return [Stage("two domains", 1.0, config.learning_rate, loss)]


@torch.no_grad()
def adversarial_figures(model: AdversarialModel, materials: Materials) -> dict[str, float]:
    """What the critic says of the training frames and as many samples; of W₁ in its Euclidean features.

    Of a GAN: the Jensen–Shannon divergence (nats) that its discriminator proves, of a Wasserstein GAN its
    reading of W₁ and its slopes on interpolates.
    """
    frames = batch(required_frames(materials), FIGURE_FRAMES, materials.generator)
    if model.config.game == "gan":
        fake = model.features(model.sample_internal(FIGURE_FRAMES, materials.generator))
        told = discriminator_loss(model.critic(model.features(frames)), model.critic(fake))
        return {"discriminator_jensen_shannon_nats": math.log(2.0) - 0.5 * float(told)}
    estimate = critic_distance(model, frames, materials.generator)
    return {
        "critic_wasserstein_1": estimate.distance,
        "critic_wasserstein_1_lower_bound": estimate.lower_bound,
        "critic_difference": estimate.difference,
        "critic_difference_stderr": estimate.stderr,
        "critic_slope_mean": estimate.slope_mean,
        "critic_slope_std": estimate.slope_std,
    }


def domain_figures(model: DomainAdversarialModel, materials: Materials) -> dict[str, float]:
    """Balanced accuracy of the classifier of domains on the frames that both were trained on."""
    frames, hot_frames = required_frames(materials), materials.hot_frames
    assert hot_frames is not None
    accuracy = model.domain_accuracy(frames, hot_frames, materials.generator)
    return {"domain_balanced_accuracy": accuracy}


@contextmanager
def _frozen(module: nn.Module) -> Iterator[None]:
    """Parameters of ``module`` take no part in gradients of what is computed inside."""
    module.requires_grad_(False)
    try:
        yield
    finally:
        module.requires_grad_(True)
