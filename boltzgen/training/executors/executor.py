"""The interface of executors, and the gradient of one batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import torch
from torch import nn

from boltzgen import accelerators
from boltzgen.objectives.objective import Loss, Objective


class Executor(ABC):
    """Computes the loss and the gradient of the steps of one objective. A context manager.

    The training loop, on the main process, decides everything else: the clock, plateaus, the step of the
    optimiser.
    """

    n_processes: int

    @abstractmethod
    def __enter__(self) -> Self:
        """Start what is needed."""

    @abstractmethod
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""

    @abstractmethod
    def loss_and_gradient(self, step: int, progress: float) -> Loss:
        """The mean loss of a batch of each process; its gradient is left in the parameters.

        Parameters
        ----------
        step
            Number of the step: with the seed of the generator it determines the random numbers.
        progress
            Through the stage, 0 to 1.

        Returns
        -------
        Loss
            The value detached from the graph; all processes' log weights. Where the value is not finite the
            gradients mean nothing.

        Raises
        ------
        EvaluationError
            Where a process fails, dies, is stopped, or does not answer in time.
        """


def batch_gradient(
    objective: Objective, parameters: Sequence[nn.Parameter], progress: float, n: int = 1
) -> Loss:
    """The loss of one of ``n`` batches; where it is finite ``parameters`` have an n-th of its gradient.

    On a device that the host would have to wait for, a loss that is not finite leaves gradients that are not.
    """
    loss = objective.loss(progress)
    for parameter in parameters:
        parameter.grad = None
    unseen = accelerators.costs_a_wait(loss.value.device)
    if unseen or torch.isfinite(loss.value):
        (loss.value / n).backward()
    weights = None if loss.log_weights is None else loss.log_weights.detach()
    return Loss(loss.value.detach(), weights, loss.n_dropped if unseen else int(loss.n_dropped))


def mean_loss(losses: Sequence[Loss]) -> Loss:
    """The mean of the losses of several batches, with all their log weights."""
    weights = [loss.log_weights for loss in losses if loss.log_weights is not None]
    return Loss(
        torch.stack([loss.value.double().cpu() for loss in losses]).mean(),
        torch.cat(weights) if weights else None,
        sum(loss.n_dropped for loss in losses),
    )
