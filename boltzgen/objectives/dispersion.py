"""Log-dispersion on given frames: log q + u should be the same everywhere that the molecule goes.

Its spread over points from any distribution vanishes only for q ∝ exp(−u) there (Richter et al. 2020, the
log-variance divergence; Schopmans 2026). It therefore weighs separate modes against each other, which path
gradients of the reverse KL cannot: these see another mode only from samples on the barrier between. Frames
need neither the right populations nor new evaluations, since their energies are known.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from boltzgen.models.flow import FlowModel
from boltzgen.models.model import Internal


def log_dispersion(
    model: FlowModel,
    frames: Internal,
    actions_of_frames: Float[Tensor, " frames"],
    samples_level: Float[Tensor, ""],
    bound: float = 5.0,
) -> Float[Tensor, ""]:
    """Surrogate whose gradient is that of half the spread of log q + βu over ``frames``, about a given level.

    ``actions_of_frames``: βu + log|∂(τ, y)/∂x| − ln(multiplicity), what is to be added to log q(τ, y).
    ``samples_level``: where log q + βu of the model's own samples lies, −ln Z once it is trained. Deviations
    count up to ``bound`` nats, so that a frame far off does not own the batch.
    """
    log_prob = model.internal_log_prob(frames)
    deviation = (log_prob.detach() + actions_of_frames - samples_level).clamp(-bound, bound)
    sound = torch.isfinite(deviation)
    return (torch.where(sound, deviation, 0.0) * torch.where(sound, log_prob, 0.0)).mean()


def usual_level(actions: Float[Tensor, " batch"], share: float = 0.97) -> Float[Tensor, ""]:
    """Mean of the lower ``share`` of the finite ``actions`` log q + βu of samples: clashes are left out."""
    finite = torch.isfinite(actions)
    rising = torch.where(finite, actions, torch.inf).sort().values
    n_lower = (share * finite.sum().double()).floor().clamp_min(1.0)
    lower = torch.arange(len(rising), device=rising.device) < n_lower
    mean = torch.where(lower, rising, 0.0).sum() / n_lower.to(rising.dtype)
    return torch.where(finite.any(), mean, torch.nan)
