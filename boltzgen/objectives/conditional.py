"""Reverse KL of the stiff coordinates at torsions from elsewhere: rare conformers are learnt like others.

KL(q(y|τ)‖p(y|τ)), averaged over any distribution of torsions τ, is least at the same q(y|τ). Reverse KL on a
model's own samples takes τ from the model, so that a conformer it makes seldom is fitted badly, costs energy,
and is made ever more seldom. Torsions of hot frames show the stiff part every conformer from the start.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from boltzgen.energies.target import BoltzmannTarget
from boltzgen.models.flow import FlowModel
from boltzgen.models.model import fixed_parameters
from boltzgen.objectives.outliers import DEFAULT_OUTLIERS, Outliers, only_where


def conditional_reverse_kl(
    model: FlowModel,
    target: BoltzmannTarget,
    torsions: Float[Tensor, "batch torsions"],
    generator: torch.Generator | None = None,
    inverse_temperature: float = 1.0,
    outliers: Outliers = DEFAULT_OUTLIERS,
) -> tuple[Float[Tensor, ""], Int[Tensor, ""]]:
    """Surrogate with the path gradient of E_τ KL(q(y|τ)‖p^β(y|τ)), and how many samples were dropped.

    As ``reverse_kl``, at fixed ``torsions`` (the model's, on the stretched circle): only the layers that move
    stiff coordinates learn. Where torsions depend on ring puckers, log q(τ|pucker) enters the gradient.
    Actions of different torsions differ by their free energies, too: with a ``log_cut`` of ``outliers``,
    torsions strained by more than that many kT count for less.
    """
    n = len(torsions)
    with torch.no_grad():
        latent = model.coordinates.base.sample(n, generator)
    latent.requires_grad_()
    with fixed_parameters(model):
        stiff, log_det = model.move_stiff(torsions, latent)
        x, position_log_det = model.coordinates.to_positions(torsions, stiff)
        log_q = model.coordinates.base.log_prob(latent) - log_det - position_log_det
        if model.coordinates.base.multimodal_indices.numel():
            _, torsion_log_det = model.unmove_torsions(torsions, latent)
            log_q = log_q + torsion_log_det
        action = log_q + inverse_temperature * target.reduced_energy(x)
        kept = outliers.kept(-action.detach())
        (gradient,) = torch.autograd.grad(outliers.trained_action(action, kept).sum(), latent)
    used = kept > 0
    n_used = used.sum()  # zero: the surrogate is not a number, and the step a bad one
    again, _ = model.unmove_stiff(torsions, only_where(used, stiff.detach()))
    return -(only_where(used, gradient) * again).sum() / n_used, n - n_used
