"""Training of variational autoencoders on frames by the evidence lower bound."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from boltzgen.models.model import Internal
from boltzgen.models.vae import VariationalAutoencoder
from boltzgen.objectives.frames import random_batch
from boltzgen.objectives.objective import Loss, Objective


def beta_schedule(progress: float, warmup_share: float) -> float:
    """Weight of the latent terms: rises from 0 to 1 over ``warmup_share`` of the training (Bowman 2016)."""
    return 1.0 if warmup_share == 0.0 else min(progress / warmup_share, 1.0)


def elbo_loss(
    model: VariationalAutoencoder,
    frames: Internal,
    generator: torch.Generator | None = None,
    importance_samples: int = 1,
    beta: float = 1.0,
) -> Float[Tensor, ""]:
    """Minus the bound E_r[log p(x|z) + β(log p(z) − log r(z|x))] of log q(τ, y), mean over ``frames`` (nats).

    Reparametrised Monte Carlo (Kingma and Welling 2014, eq. 10; β: Higgins 2017). With K =
    ``importance_samples`` above one, the bound log (1/K) Σ_k exp of as many terms, the nearer to log q the
    larger K (Burda et al. 2016, eq. 8).
    """
    terms = model.log_importance(frames, importance_samples, beta, generator)
    return math.log(importance_samples) - torch.logsumexp(terms, dim=1).mean()


def scheduled_elbo_loss(
    model: VariationalAutoencoder, frames: Internal, progress: float, generator: torch.Generator
) -> Float[Tensor, ""]:
    """Minus the bound that ``model.config`` asks for, its latent terms coming in over the warm-up."""
    config = model.config
    beta = beta_schedule(progress, config.beta_warmup_share)
    return elbo_loss(model, frames, generator, config.importance_samples, beta)


class EvidenceLowerBound(Objective):
    """The bound on ``frames``, in batches drawn with replacement."""

    model: VariationalAutoencoder

    def __init__(
        self,
        model: VariationalAutoencoder,
        frames: Internal,
        batch_size: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__(model, generator)
        self.frames, self.batch_size = frames, batch_size

    def loss(self, progress: float) -> Loss:
        batch = random_batch(self.frames, self.batch_size, self.generator)
        return Loss(scheduled_elbo_loss(self.model, batch, progress, self.generator))
