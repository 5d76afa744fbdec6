"""Training in one process on an NVIDIA GPU, whose steps are recorded once and then repeated as a CUDA graph.

A step of a small molecule is a thousand kernels of some microseconds, and the host takes longer to launch
them than the GPU to run them. A graph is launched at once. What the host computes is part of the record: a
step is recorded where the objective's schedule has stood still for some steps, and anew when that moves on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

import torch
from torch import Tensor, nn

from boltzgen.objectives.objective import Loss, Objective
from boltzgen.training.executors.executor import Executor, batch_gradient

STEADY_STEPS = (
    8  # that a schedule stands still before a step is recorded; what is compiled is compiled in these
)

Record = Callable[[Callable[[], Loss], torch.Generator], tuple[Loss, Callable[[], None]]]
"""``record(work, generator)``: what ``work`` returned while it was recorded, and a function that does all of
it again, with the generator's next numbers, and leaves the results in the same memory."""


def cuda_graph(work: Callable[[], Loss], generator: torch.Generator) -> tuple[Loss, Callable[[], None]]:
    """``Record`` by a CUDA graph; nothing in ``work`` may wait for the device or copy from the host."""
    graph = torch.cuda.CUDAGraph()
    graph.register_generator_state(generator)
    torch.cuda.synchronize(generator.device)
    with torch.cuda.graph(graph):
        loss = work()
    return loss, graph.replay


class Recorded(Executor):
    """One process on one GPU.

    Parameters
    ----------
    record
        Makes the record; tests give one that works on the CPU.
    """

    n_processes = 1

    def __init__(
        self, objective: Objective, parameters: Sequence[nn.Parameter], record: Record = cuda_graph
    ) -> None:
        self.objective, self.parameters, self._record = objective, list(parameters), record
        self._schedule: tuple[float, ...] | None = None
        self._steady = 0
        self._again: Callable[[], None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._again = None  # its memory goes back

    def loss_and_gradient(self, step: int, progress: float) -> Loss:
        schedule = self.objective.schedule(progress)
        if schedule is None or schedule != self._schedule:
            self._schedule, self._steady, self._again = schedule, 0, None
        self._steady += 1
        if schedule is None or self._steady <= STEADY_STEPS:
            return batch_gradient(self.objective, self.parameters, progress)
        if self._again is None:
            self._begin_record(progress)
        return self._repeated()

    def _begin_record(self, progress: float) -> None:
        target = self.objective.target
        before = 0 if target is None else target.counter.count
        self._loss, self._again = self._record(
            lambda: batch_gradient(self.objective, self.parameters, progress), self.objective.generator
        )
        self._gradients = [parameter.grad for parameter in self.parameters]
        if target is not None:  # the host counts while it records, and not when the device repeats
            self._evaluations, target.counter.count = target.counter.count - before, before

    def _repeated(self) -> Loss:
        assert self._again is not None
        self._again()
        for parameter, gradient in zip(self.parameters, self._gradients, strict=True):
            parameter.grad = gradient
        if self.objective.target is not None:
            self.objective.target.counter.count += self._evaluations
        loss = self._loss
        weights = None if loss.log_weights is None else loss.log_weights.clone()
        n_dropped = loss.n_dropped.clone() if isinstance(loss.n_dropped, Tensor) else loss.n_dropped
        return Loss(loss.value.clone(), weights, n_dropped)
