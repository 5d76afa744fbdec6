"""Training in forked processes: they begin with everything that this one has."""

from __future__ import annotations

import gc
import os
import warnings
from collections.abc import Sequence
from multiprocessing import Pipe
from types import TracebackType
from typing import Self

from torch import nn

from boltzgen.objectives.objective import Loss, Objective
from boltzgen.training.executors.executor import Executor
from boltzgen.training.executors.team import Task, Team, WorkerProcess
from boltzgen.training.executors.worker import serve


class Forked(Executor):
    """``n`` processes on the CPU, this one among them, that are forked on entry and gone on exit.

    A fork keeps locks that other threads hold, which a worker must not take: autograd's threads for GPUs are
    such, and so are system libraries of macOS.
    """

    def __init__(self, objective: Objective, parameters: Sequence[nn.Parameter], n: int) -> None:
        self.n_processes = n
        self.team = Team(objective, parameters, n, _forked)

    def __enter__(self) -> Self:
        self.team.gather()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.team.dismiss()

    def loss_and_gradient(self, step: int, progress: float) -> Loss:
        return self.team.loss_and_gradient(step, progress)


def _forked(task: Task) -> WorkerProcess:
    ours, theirs = Pipe()
    owner = os.getpid()
    try:
        with warnings.catch_warnings():
            # Threads at a fork are dangerous for the locks that they hold: a worker takes none of those.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            for worker in task.others:  # or they would not see the end of this team
                worker.connection.close()
            ours.close()
            gc.freeze()  # what others left may wait for threads that are not here when it is collected
            objective = task.objective
            seed = objective.generator.initial_seed()
            serve(theirs, objective, task.trained, task.gradients.tensors, seed, task.rank, task.n)
    finally:
        if os.getpid() != owner:
            os._exit(0)
    theirs.close()
    return WorkerProcess(pid, ours)
