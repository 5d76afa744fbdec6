"""The map of a flow to another energy, from that energy and its gradients at samples of the flow."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from boltzgen.coordinates.stiff_shift import BasinMap, fit_basins, fit_stiff_map
from boltzgen.energies.target import BoltzmannTarget
from boltzgen.errors import NotConvergedError
from boltzgen.models.flow import FlowModel
from boltzgen.models.model import Internal, fixed_parameters
from boltzgen.sampling.importance import log_importance_weights

CLASH = 15.0  # nats of log q + u above the median, from which a sample does not count in a regression


@dataclass(frozen=True)
class WeighedSamples:
    """Samples of a flow with what the costly energy says of them.

    Attributes
    ----------
    latent, internal
        Before and after the flow.
    latent_slopes, slopes
        Of log q + u along stiff coordinates, before and after the flow.
    log_weights
        −u − log q.
    """

    latent: Internal
    internal: Internal
    latent_slopes: Float[Tensor, "samples stiff"]
    slopes: Float[Tensor, "samples stiff"]
    log_weights: Float[Tensor, " samples"]

    @property
    def kept(self) -> Tensor:
        """Samples without clashes."""
        finite = torch.isfinite(self.log_weights)
        if not bool(finite.any()):
            return finite
        return finite & (self.log_weights > self.log_weights[finite].median() - CLASH)


def weighed_samples(
    model: FlowModel, target: BoltzmannTarget, n: int, generator: torch.Generator
) -> WeighedSamples:
    """``n`` samples of ``model``, with the gradients of log q + u along stiff coordinates."""
    drawn = model.sample_latent(n, generator)
    latent = Internal(drawn.torsions, drawn.stiff.detach().requires_grad_())
    with torch.enable_grad(), fixed_parameters(model):
        moved, _ = model(latent)
        internal = Internal(*(part.detach().requires_grad_() for part in moved))
        x, log_det = model.coordinates.to_positions(*internal)
        log_q = model.internal_log_prob(internal) - log_det - model.coordinates.log_multiplicity
        u = target.reduced_energy(x)
        action = torch.nan_to_num(log_q + u, 0.0, 0.0, 0.0).sum()
        slopes = Internal(*torch.autograd.grad(action, internal, materialize_grads=True, allow_unused=True))
        through = [k for k, part in enumerate(moved) if part.requires_grad]
        (latent_slopes,) = torch.autograd.grad(
            [moved[k] for k in through], latent.stiff, [slopes[k] for k in through]
        )
    u = torch.where(model.coordinates.contains(x), u, math.inf)
    return WeighedSamples(
        Internal(*(part.detach() for part in latent)),
        Internal(*(part.detach() for part in internal)),
        latent_slopes,
        slopes.stiff,
        log_importance_weights(u, log_q),
    )


def move_to_level(model: FlowModel, found: WeighedSamples) -> list[BasinMap]:
    """Map the coordinates and the base of ``model`` to the energy that weighed its samples ``found``.

    Returns what moved the Gaussians of the base. Raises NotConvergedError where nearly all samples clash.
    """
    kept = found.kept
    if int(kept.sum()) <= model.coordinates.n_stiff:
        raise NotConvergedError(
            f"Of {len(kept)} samples {int(kept.sum())} have an energy at the level asked for: give a larger"
            " budget, or --set start_from=none."
        )
    base = model.coordinates.base
    stiff = fit_stiff_map(found.internal.stiff[kept], found.slopes[kept], base)
    maps = [
        fit_basins(block, found.latent.stiff[kept][:, i], found.latent_slopes[kept][:, i])
        for block in base.blocks
        for i in [block.indices]
    ]
    stiff.apply(model.coordinates)
    for basin_map in maps:
        basin_map.apply()
    return maps
