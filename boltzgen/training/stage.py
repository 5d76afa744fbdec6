"""What the training loop runs: a share of the budget with a loss of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from boltzgen.energies.target import BoltzmannTarget


@dataclass(frozen=True)
class Loss:
    """A batch's loss and, where the objective has them, its log weights towards the target [batch]."""

    value: Tensor
    log_weights: Tensor | None = None
    n_dropped: int = 0


@dataclass(frozen=True)
class Stateless:
    """What a loss uses that keeps nothing from one call to the next: several processes may call it at once.

    generator: the only one that it draws from. target: the one whose evaluations it makes, if any.
    """

    generator: torch.Generator
    target: BoltzmannTarget | None = None


@dataclass(frozen=True)
class Stage:
    """A share of the budget spent on one objective; ``loss`` is given the progress through it, 0 to 1.

    betas: memories of Adam's moments. stateless: where the loss is, so that processes share its batches.
    most_steps: that it may take; what is left of its share then goes to the next stage.
    """

    name: str
    share: float
    learning_rate: float
    loss: Callable[[float], Loss]
    steady_from: float = (
        0.0  # progress from which the objective no longer changes, so that a plateau can end it
    )
    betas: tuple[float, float] = (0.9, 0.99)
    stateless: Stateless | None = None
    most_steps: int | None = None
