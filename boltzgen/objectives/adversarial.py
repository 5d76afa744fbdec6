"""Losses of two players: a critic that tells samples from frames, and whatever is trained to deceive it.

Critics act on features: cosine and sine of every torsion and the whitened stiff coordinates. Distances,
Lipschitz constants and gradients below are those of the Euclidean metric of that space.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from boltzgen.errors import InputError
from boltzgen.models.gan import AdversarialModel
from boltzgen.models.model import Internal

Critic = Callable[[Tensor], Tensor]  # features [batch, features] -> [batch]


def discriminator_loss(real: Float[Tensor, " n"], fake: Float[Tensor, " m"]) -> Float[Tensor, ""]:
    """−E_T[ln D] − E_G[ln(1 − D)] of the logits of D: its own player's loss (Goodfellow 2014, eq. 1).

    2 ln 2 where D cannot tell; 2 ln 2 minus this, halved, is a lower bound of the Jensen–Shannon divergence.
    """
    return nn.functional.softplus(-real).mean() + nn.functional.softplus(fake).mean()


def domain_loss(at_target: Float[Tensor, " n"], at_hot: Float[Tensor, " m"]) -> Float[Tensor, ""]:
    """Cross entropy of a classifier's logits of "hot", domains counted alike: ln 2 where it is blind."""
    return 0.5 * (nn.functional.softplus(at_target).mean() + nn.functional.softplus(-at_hot).mean())


def non_saturating_loss(fake: Float[Tensor, " n"]) -> Float[Tensor, ""]:
    """−E_G[ln D] of the logits of D: the generator's loss, steep where D is sure (Goodfellow 2014, §3)."""
    return nn.functional.softplus(-fake).mean()


def kantorovich_difference(real: Float[Tensor, " n"], fake: Float[Tensor, " m"]) -> Float[Tensor, ""]:
    """E_T[F] − E_G[F], which at most is W₁(P_T, P_G) where F is 1-Lipschitz (Arjovsky 2017, eq. 2)."""
    return real.mean() - fake.mean()


def interpolates(
    real: Float[Tensor, "n features"], fake: Float[Tensor, "n features"], generator: torch.Generator | None
) -> Float[Tensor, "n features"]:
    """Points drawn uniformly on the straight lines between pairs of features."""
    device = generator.device if generator is not None else real.device
    share = torch.rand(len(real), 1, generator=generator, dtype=real.dtype, device=device).to(real.device)
    return fake + share * (real - fake)


def gradient_norms(critic: Critic, points: Float[Tensor, "n features"]) -> Float[Tensor, " n"]:
    """‖∇F‖ at ``points``, differentiable in the critic's parameters."""
    with torch.enable_grad():
        points = points.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
    return torch.linalg.vector_norm(gradient, dim=1)


def gradient_penalty(critic: Critic, points: Float[Tensor, "n features"]) -> Float[Tensor, ""]:
    """E[(‖∇F‖ − 1)²] at ``points``: zero for an optimal critic along the transport (Gulrajani 2017, eq. 3).

    Times λ it is a soft bound: E_T[F] − E_G[F] − λ E[(‖∇F‖ − 1)²] is greatest at slopes of 1 + W₁/(2λ), and
    the difference there is too large by that factor. Dividing by the mean slope takes it out.
    """
    return (gradient_norms(critic, points) - 1.0).square().mean()


@torch.no_grad()
def clip_parameters(parameters: Iterable[nn.Parameter], bound: float) -> None:
    """Puts all parameters into [−bound, bound]: a Lipschitz bound, if a crude one (Arjovsky 2017, alg. 1)."""
    for parameter in parameters:
        parameter.clamp_(-bound, bound)


class _Reversed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.strength * gradients[0], None


def reverse_gradient(value: Tensor, strength: float = 1.0) -> Tensor:
    """``value``, whose gradient comes back times −``strength`` (Ganin 2016, eq. 14).

    What is before it in the graph maximises the loss that what follows it minimises: both in one backward
    pass.
    """
    return _Reversed.apply(value, strength)


class CriticEstimate(NamedTuple):
    """A critic's reading of W₁(P_T, P_G) with what is known of its slopes on interpolates.

    difference: E_T[F] − E_G[F]. stderr: its sampling error. slope_mean, slope_std, slope_max: of ‖∇F‖.
    """

    difference: float
    stderr: float
    slope_mean: float
    slope_std: float
    slope_max: float

    @property
    def distance(self) -> float:
        """The difference per mean slope: the estimate of W₁; zero of a flat critic."""
        return self.difference / self.slope_mean if self.slope_mean else 0.0

    @property
    def lower_bound(self) -> float:
        """The difference per greatest slope met: below W₁ as far as these points have shown all slopes."""
        return self.difference / self.slope_max if self.slope_max else 0.0


def critic_estimate(
    critic: Critic,
    real: Float[Tensor, "n features"],
    fake: Float[Tensor, "n features"],
    generator: torch.Generator | None = None,
) -> CriticEstimate:
    """What ``critic`` says of two sets of features of the same length."""
    slopes = gradient_norms(critic, interpolates(real, fake, generator)).detach()
    with torch.no_grad():
        at_real, at_fake = critic(real).double(), critic(fake).double()
    variance = at_real.var() / len(real) + at_fake.var() / len(fake)
    return CriticEstimate(
        float(kantorovich_difference(at_real, at_fake)),
        float(variance.sqrt()),
        float(slopes.mean()),
        float(slopes.std()),
        float(slopes.max()),
    )


@torch.no_grad()
def critic_distance(
    model: AdversarialModel, frames: Internal, generator: torch.Generator | None = None
) -> CriticEstimate:
    """What the model's critic says of W₁ between ``frames`` and as many samples of the model.

    A clipped critic knows W₁ up to its slope only, and its slopes vary: of it take the lower bound. Raises
    InputError for a "gan", whose discriminator measures no transport.
    """
    if model.config.game == "gan":
        raise InputError("A GAN's discriminator measures no transport distance; take wgan or wgan-gp.")
    real = model.features(frames)
    fake = model.features(model.sample_internal(len(real), generator))
    return critic_estimate(model.critic, real, fake, generator)
