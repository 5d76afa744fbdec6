"""Forward KL divergence on samples: maximum likelihood of frames in internal coordinates."""

from jaxtyping import Float
from torch import Tensor

from boltzgen.models.flow import FlowModel
from boltzgen.models.model import Internal


def negative_log_likelihood(
    model: FlowModel, frames: Internal, weights: Float[Tensor, " batch"] | None = None
) -> Float[Tensor, ""]:
    """−E[log q(τ, y)] over ``frames``, weighted by normalised ``weights`` where given (nats)."""
    log_q = model.internal_log_prob(frames)
    if weights is None:
        return -log_q.mean()
    return -(weights * log_q).sum()
