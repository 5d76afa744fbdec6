"""What a worker process does: batches of its own, whose gradients it writes to shared memory."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection

import numpy as np
import torch
from torch import Tensor, nn

from boltzgen.errors import EvaluationError
from boltzgen.interruption import ignore_signals
from boltzgen.objectives.objective import Loss, Objective
from boltzgen.training.executors.executor import batch_gradient


@dataclass(frozen=True)
class Batch:
    """What a worker tells of its batch; ``has_gradient``: which parameters' gradients it has written."""

    value: float
    log_weights: np.ndarray | None
    n_dropped: int
    evaluations: int
    has_gradient: list[bool]

    @property
    def loss(self) -> Loss:
        """As a loss, detached from any graph."""
        weights = None if self.log_weights is None else torch.from_numpy(self.log_weights)
        return Loss(torch.tensor(self.value, dtype=torch.float64), weights, self.n_dropped)


@dataclass(frozen=True)
class Failure:
    """What a worker tells of an exception."""

    message: str
    trace: str

    @property
    def error(self) -> EvaluationError:
        """The exception as one of this process."""
        error = EvaluationError(f"a training process failed: {self.message}")
        error.add_note(self.trace)
        return error


Answer = Batch | Failure


def serve(
    connection: Connection,
    objective: Objective,
    parameters: Sequence[nn.Parameter],
    gradients: Sequence[Tensor],
    seed: int,
    rank: int,
    n: int,
) -> None:
    """Answer every (step, progress) until the other end of the pipe is closed, by whatever ends that process.

    Random numbers are a function of ``seed``, the step and ``rank``, so that a run repeats, resumed or not.
    """
    ignore_signals()
    torch.set_num_threads(1)
    while True:
        try:
            step, progress = connection.recv()
        except (EOFError, OSError):
            return
        reseed(objective.generator, seed, step, rank)
        try:
            connection.send(answer(objective, parameters, gradients, progress, n))
        except OSError:
            return


def answer(
    objective: Objective,
    parameters: Sequence[nn.Parameter],
    gradients: Sequence[Tensor],
    progress: float,
    n: int,
) -> Answer:
    """One of ``n`` batches, its gradients copied to ``gradients``; or why there is none."""
    try:
        return _batch(objective, parameters, gradients, progress, n)
    except BaseException as error:
        return Failure(f"{type(error).__name__}: {error}", traceback.format_exc())


def reseed(generator: torch.Generator, seed: int, step: int, rank: int) -> None:
    """Set ``generator``, and torch's own, to a stream of their own for every step and rank."""
    words = np.random.SeedSequence(seed, spawn_key=(step, rank)).generate_state(2)
    generator.manual_seed(int(words[0]))
    torch.default_generator.manual_seed(int(words[1]))


def _batch(
    objective: Objective,
    parameters: Sequence[nn.Parameter],
    gradients: Sequence[Tensor],
    progress: float,
    n: int,
) -> Batch:
    target = objective.target
    before = 0 if target is None else target.counter.count
    loss = batch_gradient(objective, parameters, progress, n)
    made = [(row, p.grad) for row, p in zip(gradients, parameters, strict=True) if p.grad is not None]
    if made:
        torch._foreach_copy_([row for row, _ in made], [gradient for _, gradient in made])
    return Batch(
        value=float(loss.value),
        log_weights=None if loss.log_weights is None else loss.log_weights.numpy(),
        n_dropped=int(loss.n_dropped),
        evaluations=0 if target is None else target.counter.count - before,
        has_gradient=[p.grad is not None for p in parameters],
    )
