"""Training in forked processes: they begin with everything that this one has."""

from __future__ import annotations

import gc
import os
import warnings
from multiprocessing import Pipe

from boltzgen.training.executors.team import Task, TeamExecutor, WorkerProcess
from boltzgen.training.executors.worker import serve


class Forked(TeamExecutor):
    """``n`` processes on the CPU, this one among them, that are forked on entry and gone on exit.

    A fork keeps locks that other threads hold, which a worker must not take: autograd's threads for GPUs are
    such, and so are system libraries of macOS.
    """

    @staticmethod
    def start(task: Task) -> WorkerProcess:
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
