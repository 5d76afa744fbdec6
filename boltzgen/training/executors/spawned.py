"""Training in new processes that the objective is sent to: where a fork is not safe.

They see no GPU: a process that has started autograd's threads for one could not be forked, and one that sees
none never starts them.
"""

from __future__ import annotations

import io
import os
import pickle
import sys
from multiprocessing import Pipe
from multiprocessing.connection import Connection

from boltzgen.objectives.objective import Objective
from boltzgen.training.executors.shared_memory import SharedTensors
from boltzgen.training.executors.team import Task, TeamExecutor, WorkerProcess
from boltzgen.training.executors.worker import serve

_COMMAND = "import sys; from boltzgen.training.executors.spawned import main; main(*map(int, sys.argv[1:]))"


class Spawned(TeamExecutor):
    """``n`` processes on the CPU, this one among them, of which the others are started anew on entry."""

    @staticmethod
    def start(task: Task) -> WorkerProcess:
        ours, theirs = Pipe()
        descriptors = [theirs.fileno(), task.parameters.descriptor, task.gradients.descriptor]
        for descriptor in descriptors:
            os.set_inheritable(descriptor, True)
        try:
            environment = os.environ | {
                "CUDA_VISIBLE_DEVICES": "",
                "OMP_NUM_THREADS": "1",
                "PYTHONPATH": os.pathsep.join(sys.path),
            }
            numbers = [str(number) for number in (*descriptors, task.rank, task.n)]
            pid = os.posix_spawn(sys.executable, [sys.executable, "-c", _COMMAND, *numbers], environment)
        finally:
            for descriptor in descriptors:
                os.set_inheritable(descriptor, False)
        theirs.close()
        ours.send_bytes(_pickled(task.objective))
        return WorkerProcess(pid, ours)


def can_be_sent(objective: Objective) -> bool:
    """Whether another process can rebuild ``objective``: nothing of it is defined in the running script."""
    try:
        return b"__main__" not in _pickled(objective)
    except (pickle.PicklingError, AttributeError, TypeError):
        return False


def _pickled(objective: Objective) -> bytes:
    file = io.BytesIO()
    pickle.dump(objective, file)
    return file.getvalue()


def main(connection: int, parameters: int, gradients: int, rank: int, n: int) -> None:
    """What the new process runs; the first three are descriptors that it has inherited."""
    pipe = Connection(connection)
    objective: Objective = pickle.loads(pipe.recv_bytes())
    trained = [p for p in objective.model.parameters() if p.requires_grad]
    for parameter, shared in zip(trained, SharedTensors(trained, parameters).tensors, strict=True):
        parameter.data = shared
    seed = objective.generator.initial_seed()
    serve(pipe, objective, trained, SharedTensors(trained, gradients).tensors, seed, rank, n)
