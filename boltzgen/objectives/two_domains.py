"""Domain-adversarial training: the bound on frames of two domains, against a classifier of domains."""

from __future__ import annotations

import torch

from boltzgen.models.domain_adversarial import HOT, TARGET, DomainAdversarialModel
from boltzgen.models.model import Internal
from boltzgen.objectives.adversarial import domain_loss, reverse_gradient
from boltzgen.objectives.elbo import beta_schedule
from boltzgen.objectives.frames import random_batch
from boltzgen.objectives.objective import Loss, Objective


class TwoDomains(Objective):
    """The bound on ``frames`` at the target's temperature and on ``hot_frames``.

    The encoder is trained against a classifier that tells the domains apart and counts both alike, by a
    reversed gradient that comes in with the latent terms of the bound.
    """

    model: DomainAdversarialModel

    def __init__(
        self,
        model: DomainAdversarialModel,
        frames: Internal,
        hot_frames: Internal,
        batch_size: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__(model, generator)
        self.frames, self.hot_frames = frames, hot_frames
        self.n_target = max(round(model.config.target_share * batch_size), 1)
        self.n_hot = max(batch_size - self.n_target, 1)

    def loss(self, progress: float) -> Loss:
        model, rules, generator = self.model, self.model.config, self.generator
        beta = beta_schedule(progress, rules.beta_warmup_share)
        strength = beta * rules.strength if rules.adversary else 0.0
        frames = random_batch(self.frames, self.n_target, generator)
        bound, latent = model.log_joint_and_latent(frames, TARGET, beta, generator)
        frames = random_batch(self.hot_frames, self.n_hot, generator)
        hot_bound, hot_latent = model.log_joint_and_latent(frames, HOT, beta, generator)
        logits = [model.classifier(reverse_gradient(z, strength)) for z in (latent, hot_latent)]
        return Loss(domain_loss(*logits) - torch.cat([bound, hot_bound]).mean())
