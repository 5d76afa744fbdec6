"""Reverse KL divergence KL(q‖p) = E_q[log q + u] + log Z, from the energy alone, with path gradients."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from boltzgen.energies.target import BoltzmannTarget
from boltzgen.models.flow import FlowModel
from boltzgen.models.model import Internal, fixed_parameters
from boltzgen.objectives.cooling import Cooling
from boltzgen.objectives.objective import Loss, Objective
from boltzgen.objectives.outliers import DEFAULT_OUTLIERS, Outliers, only_where

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
    def n_dropped(self) -> Int[Tensor, ""]:
        return (~self.kept).sum()

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


def reverse_kl(
    model: BijectiveModel,
    target: BoltzmannTarget,
    n: int,
    generator: torch.Generator | None = None,
    inverse_temperature: float = 1.0,
    outliers: Outliers = DEFAULT_OUTLIERS,
) -> tuple[Float[Tensor, ""], ReverseKLInfo]:
    """Surrogate whose parameter gradient is the path gradient of KL(q‖p^β), from ``n`` samples.

    With x = g(z) and v = ∇_z[log q(g(z)) + β u(g(z))] at fixed parameters, the path gradient is
    −vᵀ ∂g⁻¹(x)/∂θ (the implicit function theorem applied to Roeder et al. 2017, eq. 6; Vaitl et al. 2022):
    its variance vanishes where q = p. ``outliers`` says how the worst samples of the batch train.
    The mixture weights of a multimodal base, which no path reaches, are trained by the score function.
    """
    with torch.no_grad():
        drawn = model.sample_latent(n, generator)
    latent = Internal(drawn.torsions.requires_grad_(), drawn.stiff.requires_grad_())
    with fixed_parameters(model):
        internal, x, log_q = model.decode(latent)
        u = target.reduced_energy(x)
        action = log_q + inverse_temperature * u
        kept = outliers.kept(-action.detach())
        trained = outliers.trained_action(action, kept)
        gradients = torch.autograd.grad(trained.sum(), latent, allow_unused=True, materialize_grads=True)

    used = kept > 0
    internal = Internal(internal.torsions.detach(), internal.stiff.detach())
    info = ReverseKLInfo(x.detach(), u.detach(), log_q.detach(), internal, used)
    n_used = used.sum()  # zero: the surrogate is not a number, and the step a bad one
    frozen = Internal(*(only_where(used, part) for part in internal))
    again, _ = model.inverse(frozen)
    products = [
        (only_where(used, gradient) * value).sum() for gradient, value in zip(gradients, again, strict=True)
    ]
    surrogate = -torch.stack(products).sum() / n_used
    if model.coordinates.base.multimodal_indices.numel():
        advantage = only_where(used, (trained - trained.sum() / n_used).detach())  # the others' are zero
        score = model.latent_log_prob(Internal(*(part.detach() for part in latent)))
        surrogate = surrogate + (advantage * score).sum() / n_used
    return surrogate, info


class ReverseKL(Objective):
    """Reverse KL of the model's own samples with path gradients, started hot and cooled.

    Parameters
    ----------
    model, target, batch_size, generator
        A flow, the density that it learns, and the number of samples of a step.
    cooling
        Inverse temperature as a function of the progress.
    outliers
        How the worst samples of a batch train.
    """

    model: FlowModel
    target: BoltzmannTarget

    def __init__(
        self,
        model: FlowModel,
        target: BoltzmannTarget,
        batch_size: int,
        generator: torch.Generator,
        cooling: Cooling,
        outliers: Outliers,
    ) -> None:
        super().__init__(model, generator, target)
        self.batch_size, self.cooling, self.outliers = batch_size, cooling, outliers

    def schedule(self, progress: float) -> tuple[float, ...]:
        return (self.cooling(progress),)

    def loss(self, progress: float) -> Loss:
        beta = self.cooling(progress)
        value, info = reverse_kl(
            self.model, self.target, self.batch_size, self.generator, beta, self.outliers
        )
        return Loss(value, info.log_weights, info.n_dropped)
