"""Training in this process alone."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from torch import nn

from boltzgen.objectives.objective import Loss, Objective
from boltzgen.training.executors.executor import Executor, batch_gradient


class Alone(Executor):
    """One process, with as many threads as torch has; any device, any objective."""

    n_processes = 1

    def __init__(self, objective: Objective, parameters: Sequence[nn.Parameter]) -> None:
        self.objective, self.parameters = objective, list(parameters)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    def loss_and_gradient(self, step: int, progress: float) -> Loss:
        return batch_gradient(self.objective, self.parameters, progress)
