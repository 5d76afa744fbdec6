"""Adversarial models: the order of their training, and what their critics and classifiers say afterwards."""

from __future__ import annotations

import math

import torch

from boltzgen.errors import InputError
from boltzgen.models.domain_adversarial import DomainAdversarialModel
from boltzgen.models.gan import AdversarialModel
from boltzgen.objectives.adversarial import critic_distance, discriminator_loss
from boltzgen.objectives.adversarial_game import AdversarialGame, CriticTraining
from boltzgen.objectives.frames import random_batch
from boltzgen.objectives.two_domains import TwoDomains
from boltzgen.training.config import TrainingConfig
from boltzgen.training.data import TrainingData, required_frames
from boltzgen.training.stage import Stage

BETAS = {"gan": (0.5, 0.99), "wgan": (0.0, 0.9), "wgan-gp": (0.0, 0.9)}
FIGURE_FRAMES = 8192


def adversarial_stages(model: AdversarialModel, data: TrainingData, config: TrainingConfig) -> list[Stage]:
    """The game on the frames, then the critic alone. Raises InputError where there are no frames."""
    frames = required_frames(data)
    game = AdversarialGame(model, frames, config.batch_size, data.generator)
    critic = CriticTraining(model, frames, config.batch_size, data.generator)
    rules, betas = model.config, BETAS[model.config.game]
    share, rate = rules.critic_share, rules.pace * config.learning_rate
    return [
        Stage("game", 1.0 - share, rate, game, betas=betas),
        Stage("critic", share, rate, critic, betas=betas),
    ]


def domain_adversarial_stages(
    model: DomainAdversarialModel, data: TrainingData, config: TrainingConfig
) -> list[Stage]:
    """One stage on frames of both domains. Raises InputError where frames of a domain are missing."""
    frames, hot_frames = required_frames(data), data.hot_frames
    if hot_frames is None or not len(hot_frames.stiff):
        raise InputError("This model learns from frames at two temperatures and has one; give hot frames.")
    objective = TwoDomains(model, frames, hot_frames, config.batch_size, data.generator)
    return [Stage("two domains", 1.0, config.learning_rate, objective)]


@torch.no_grad()
def adversarial_figures(model: AdversarialModel, data: TrainingData) -> dict[str, float]:
    """What the critic says of the training frames and as many samples; of W₁ in its Euclidean features.

    Of a GAN: the Jensen–Shannon divergence (nats) that its discriminator proves, of a Wasserstein GAN its
    reading of W₁ and its slopes on interpolates.
    """
    frames = random_batch(required_frames(data), FIGURE_FRAMES, data.generator)
    if model.config.game == "gan":
        fake = model.features(model.sample_internal(FIGURE_FRAMES, data.generator))
        told = discriminator_loss(model.critic(model.features(frames)), model.critic(fake))
        return {"discriminator_jensen_shannon_nats": math.log(2.0) - 0.5 * float(told)}
    estimate = critic_distance(model, frames, data.generator)
    return {
        "critic_wasserstein_1": estimate.distance,
        "critic_wasserstein_1_lower_bound": estimate.lower_bound,
        "critic_difference": estimate.difference,
        "critic_difference_stderr": estimate.stderr,
        "critic_slope_mean": estimate.slope_mean,
        "critic_slope_std": estimate.slope_std,
    }


def domain_figures(model: DomainAdversarialModel, data: TrainingData) -> dict[str, float]:
    """Balanced accuracy of the classifier of domains on the frames that both were trained on."""
    frames, hot_frames = required_frames(data), data.hot_frames
    assert hot_frames is not None
    accuracy = model.domain_accuracy(frames, hot_frames, data.generator)
    return {"domain_balanced_accuracy": accuracy}
