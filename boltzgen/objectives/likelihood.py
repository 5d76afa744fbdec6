"""Forward KL divergence on samples: maximum likelihood of frames in internal coordinates."""

import torch
from jaxtyping import Float
from torch import Tensor

from boltzgen.models.flow import FlowModel
from boltzgen.models.model import Internal
from boltzgen.objectives.frames import random_batch
from boltzgen.objectives.objective import Loss, Objective


def negative_log_likelihood(
    model: FlowModel, frames: Internal, weights: Float[Tensor, " batch"] | None = None
) -> Float[Tensor, ""]:
    """−E[log q(τ, y)] over ``frames``, weighted by normalised ``weights`` where given (nats)."""
    log_q = model.internal_log_prob(frames)
    if weights is None:
        return -log_q.mean()
    return -(weights * log_q).sum()


class Likelihood(Objective):
    """Maximum likelihood of ``frames``, in batches drawn with replacement."""

    model: FlowModel

    def __init__(
        self, model: FlowModel, frames: Internal, batch_size: int, generator: torch.Generator
    ) -> None:
        super().__init__(model, generator)
        self.frames, self.batch_size = frames, batch_size

    def schedule(self, progress: float) -> tuple[float, ...]:
        return ()

    def loss(self, progress: float) -> Loss:
        batch = random_batch(self.frames, self.batch_size, self.generator)
        return Loss(negative_log_likelihood(self.model, batch))
