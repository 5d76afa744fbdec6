"""Training of variational autoencoders: the evidence lower bound on frames, and reverse KL on (x, z)."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from boltzgen.energies.target import BoltzmannTarget
from boltzgen.models.model import Internal
from boltzgen.models.vae import VariationalAutoencoder
from boltzgen.objectives.reverse_kl import ReverseKLInfo, reverse_kl


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


def extended_reverse_kl(
    model: VariationalAutoencoder,
    target: BoltzmannTarget,
    n: int,
    generator: torch.Generator | None = None,
    inverse_temperature: float = 1.0,
    drop_fraction: float = 0.01,
) -> tuple[Float[Tensor, ""], ReverseKLInfo]:
    """Surrogate for the gradient of KL(p(z) p(x|z) ‖ p^β(x) r(z|x)), the reverse KL on (x, z).

    E[log p(z) + log p(x|z) − log r(z|x) + βu(x)] = KL − log Z ≥ KL(q(x)‖p^β) − log Z. In (x, z) the model is
    a bijection, so that p's parameters get path gradients as a flow's do; r's get those of its likelihood.
    """
    surrogate, info = reverse_kl(model, target, n, generator, inverse_temperature, drop_fraction)
    if not bool(info.kept.any()):
        return surrogate, info
    trained = Internal(*(part[info.kept] for part in info.internal))
    return surrogate - model.encoder_log_prob(trained).mean(), info
