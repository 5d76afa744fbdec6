"""Reverse KL divergence KL(q‖p) = E_q[log q + u] + log Z, from the energy alone, with path gradients."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from jaxtyping import Float
from torch import Tensor, nn

from boltzgen.energies.target import BoltzmannTarget
from boltzgen.models.model import Internal, fixed_parameters

if TYPE_CHECKING:
    from boltzgen.coordinates.internal import MolecularCoordinates


@dataclass(frozen=True)
class ReverseKLInfo:
    """One batch, before any cut: positions [batch, atoms, 3] (nm), u, log q and −u − log q [batch].

    internal: the model's internal coordinates of the batch. kept: which samples train, bool [batch].
    """

    positions: Tensor
    reduced_energies: Tensor
    log_prob: Tensor
    internal: Internal
    kept: Tensor

    @property
    def n_dropped(self) -> int:
        return int((~self.kept).sum())

    @property
    def log_weights(self) -> Tensor:
        return -(self.reduced_energies + self.log_prob)


class BijectiveModel(Protocol):
    """What path gradients need of a model: a flow, or a variational autoencoder on its extended space."""

    coordinates: MolecularCoordinates

    def parameters(self) -> Iterator[nn.Parameter]: ...

    def sample_latent(self, n: int, generator: torch.Generator | None = None) -> Internal: ...

    def latent_log_prob(self, latent: Internal) -> Tensor: ...

    def decode(self, latent: Internal) -> tuple[Internal, Tensor, Tensor]: ...

    def inverse(self, internal: Internal) -> tuple[Internal, Tensor]: ...


def worth_training(log_weights: Tensor, drop_fraction: float) -> Tensor:
    """1 for the samples that train, 0 for the worst ``drop_fraction`` and for non-finite ones [batch]."""
    n_dropped = math.ceil(drop_fraction * len(log_weights))
    finite = torch.isfinite(log_weights)
    ranked = torch.where(finite, log_weights, -torch.inf)
    kept = torch.ones_like(log_weights)
    if n_dropped:
        kept[ranked.topk(n_dropped, largest=False).indices] = 0.0
    return torch.where(finite, kept, torch.zeros_like(kept))


def trained_action(action: Tensor, kept: Tensor, log_cut: float) -> Tensor:
    """``action`` of the samples ``kept`` as it trains, its logarithm beyond a bound; constants for others.

    From ``log_cut`` nats above the batch's median on, A is c + ln(1 + A − c). A clash then still pulls the
    parameters away from it, but not hundreds of times as hard as the samples that matter, which would leave
    every step to a few clashes. Where q = p no sample lies beyond, and the gradient is zero as without a cut.
    """
    bound = action.detach()[kept > 0].median() + log_cut
    finite = torch.where(kept > 0, action, torch.zeros_like(action))
    excess = (finite - bound).clamp_min(0.0)
    return finite - excess + torch.log1p(excess)


def reverse_kl(
    model: BijectiveModel,
    target: BoltzmannTarget,
    n: int,
    generator: torch.Generator | None = None,
    inverse_temperature: float = 1.0,
    drop_fraction: float = 0.01,
    log_cut: float = math.inf,
) -> tuple[Float[Tensor, ""], ReverseKLInfo]:
    """Surrogate whose parameter gradient is the path gradient of KL(q‖p^β), from ``n`` samples.

    With x = g(z) and v = ∇_z[log q(g(z)) + β u(g(z))] at fixed parameters, the path gradient is
    −vᵀ ∂g⁻¹(x)/∂θ (the implicit function theorem applied to Roeder et al. 2017, eq. 6; Vaitl et al. 2022):
    its variance vanishes where q = p. The ``drop_fraction`` worst samples of the batch do not train, and
    those ``log_cut`` nats above its median only with the logarithm of their action (``trained_action``).
    The mixture weights of a multimodal base, which no path reaches, are trained by the score function.
    """
    with torch.no_grad():
        drawn = model.sample_latent(n, generator)
    latent = Internal(drawn.torsions.requires_grad_(), drawn.stiff.requires_grad_())
    with fixed_parameters(model):
        internal, x, log_q = model.decode(latent)
        u = target.reduced_energy(x)
        action = log_q + inverse_temperature * u
        kept = worth_training(-action.detach(), drop_fraction)
        trained = trained_action(action, kept, log_cut)
        gradients = torch.autograd.grad(trained.sum(), latent, allow_unused=True, materialize_grads=True)

    used = torch.nonzero(kept).flatten()
    internal = Internal(internal.torsions.detach(), internal.stiff.detach())
    info = ReverseKLInfo(x.detach(), u.detach(), log_q.detach(), internal, kept > 0)
    if not len(used):
        return torch.full_like(log_q.sum(), torch.nan), info  # nothing to learn from: a bad step
    frozen = Internal(internal.torsions[used], internal.stiff[used])
    again, _ = model.inverse(frozen)
    products = [(gradient[used] * value).sum() for gradient, value in zip(gradients, again, strict=True)]
    surrogate = -torch.stack(products).sum() / len(used)
    if model.coordinates.base.multimodal_indices.numel():
        advantage = (trained[used] - trained[used].mean()).detach()
        score = model.latent_log_prob(Internal(*(part.detach()[used] for part in latent)))
        surrogate = surrogate + (advantage * score).mean()
    return surrogate, info
