"""Batches of frames, and the objective that any function of such a batch makes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from boltzgen.models.model import Internal
from boltzgen.objectives.objective import Loss, Objective

FrameLoss = Callable[[Any, Internal, float, torch.Generator], Tensor]
"""``loss(model, batch, progress, generator)`` of a batch of internal coordinates, as a scalar."""


def random_rows(rows: int, n: int, generator: torch.Generator) -> Tensor:
    """``n`` indices of ``rows`` rows, drawn with replacement."""
    return torch.randint(rows, (n,), generator=generator, device=generator.device)


def random_batch(frames: Internal, n: int, generator: torch.Generator) -> Internal:
    """``n`` of ``frames``, drawn with replacement."""
    chosen = random_rows(len(frames.stiff), n, generator)
    return Internal(frames.torsions[chosen], frames.stiff[chosen])


class FrameObjective(Objective):
    """A loss function over batches of frames.

    Parameters
    ----------
    loss_function
        ``loss_function(model, batch, progress, generator)``, a scalar. It keeps nothing from one call to the
        next. A function at the top level of a module can be sent to another process.
    model, frames, batch_size, generator
        What it is evaluated on.
    """

    def __init__(
        self,
        loss_function: FrameLoss,
        model: nn.Module,
        frames: Internal,
        batch_size: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__(model, generator)
        self.loss_function, self.frames, self.batch_size = loss_function, frames, batch_size

    def loss(self, progress: float) -> Loss:
        batch = random_batch(self.frames, self.batch_size, self.generator)
        return Loss(self.loss_function(self.model, batch, progress, self.generator))
