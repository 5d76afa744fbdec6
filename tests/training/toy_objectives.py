"""Objectives that tests make of a function, and trainings that are cut short at a chosen step."""

from collections.abc import Callable, Sequence

import torch
from torch import nn

from boltzgen.objectives.objective import Loss, Objective
from boltzgen.training.stage import Stage


class FunctionObjective(Objective):
    """``function(progress)`` as an objective; with ``sequential`` only one process computes it."""

    def __init__(
        self,
        function: Callable[[float], Loss],
        model: nn.Module | None = None,
        generator: torch.Generator | None = None,
        target=None,
        sequential: bool = False,
    ) -> None:
        super().__init__(model or nn.Identity(), generator or torch.Generator(), target)
        self.function, self.changes_model = function, sequential

    def loss(self, progress: float) -> Loss:
        return self.function(progress)


class KilledError(Exception):
    """Stands for the end of the process."""


def counted(stages: Sequence[Stage], killed_at: int | None = None) -> list[float]:
    """The progress of every loss of ``stages`` that will be asked for; number ``killed_at`` is never made."""
    calls: list[float] = []

    def watched(loss: Callable[[float], Loss]) -> Callable[[float], Loss]:
        def counting(progress: float) -> Loss:
            calls.append(progress)
            if len(calls) == killed_at:
                raise KilledError
            return loss(progress)

        return counting

    for stage in stages:
        stage.objective.loss = watched(stage.objective.loss)
    return calls
