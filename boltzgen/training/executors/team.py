"""Several processes that compute the batches of a step: what the main one of them does.

A step of a flow is a few hundred small kernels that a second thread does not help; a second process doubles
the batch instead. Parameters and gradients lie in memory that all processes share, so that a step sends a few
numbers each way. With W processes the gradient is the mean of W batches' gradients.
"""

from __future__ import annotations

import os
import signal
import time
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Self

import torch
from torch import Tensor, nn

from boltzgen.errors import EvaluationError
from boltzgen.objectives.objective import Loss, Objective
from boltzgen.training.executors.executor import Executor, batch_gradient, mean_loss
from boltzgen.training.executors.shared_memory import SharedTensors
from boltzgen.training.executors.worker import Batch, Failure

TIMEOUT = 300.0  # seconds for one batch, compiling its machine code included
HEARTBEAT = 0.5  # seconds between two looks at a worker that has not answered yet
MOST_STOPPED = 5.0  # seconds for which a worker may be stopped


class WorkerProcess:
    """A worker as the main process sees it."""

    def __init__(self, pid: int, connection: Connection) -> None:
        self.pid, self.connection = pid, connection
        self.exit_code: int | None = None
        self.stopped_since: float | None = None

    def look(self) -> None:
        """Ask the system what has become of the process since the last look: stopped, going on, or ended."""
        while self.exit_code is None:
            changed, status = os.waitpid(self.pid, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
            if changed == 0:
                return
            if os.WIFSTOPPED(status):
                self.stopped_since = time.monotonic()
            elif os.WIFCONTINUED(status):
                self.stopped_since = None
            else:
                self.exit_code = os.waitstatus_to_exitcode(status)

    def end(self) -> int:
        """Its exit code, or minus the signal that it died of: SIGKILL, where it was still alive."""
        if self.exit_code is None:
            os.kill(self.pid, signal.SIGKILL)  # no effect on one that is ending: its status stands
            self.exit_code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.exit_code


@dataclass(frozen=True)
class Task:
    """What a new worker is started for, as number ``rank`` of ``n`` processes."""

    objective: Objective
    trained: Sequence[nn.Parameter]
    parameters: SharedTensors
    gradients: SharedTensors
    others: Sequence[WorkerProcess]
    rank: int
    n: int


class Team:
    """``n`` processes, this one among them.

    Parameters
    ----------
    objective, parameters
        What is differentiated, with respect to what.
    n
        Number of processes.
    start
        Starts a worker.
    """

    def __init__(
        self,
        objective: Objective,
        parameters: Sequence[nn.Parameter],
        n: int,
        start: Callable[[Task], WorkerProcess],
    ) -> None:
        self.objective, self.parameters, self.n = objective, list(parameters), n
        self.workers: list[WorkerProcess] = []
        self._gradients: list[SharedTensors] = []
        self._start = start
        self._threads = torch.get_num_threads()

    def gather(self) -> None:
        """Put the parameters into shared memory, start the others, and go on with one thread."""
        torch.set_num_threads(1)
        try:
            shared = SharedTensors(self.parameters)
            for parameter, tensor in zip(self.parameters, shared.tensors, strict=True):
                tensor.copy_(parameter.data)
                parameter.data = tensor
            for rank in range(1, self.n):
                gradients = SharedTensors(self.parameters)
                task = Task(self.objective, self.parameters, shared, gradients, self.workers, rank, self.n)
                self.workers.append(self._start(task))
                self._gradients.append(gradients)
                gradients.close()
            shared.close()
        except OSError as error:
            self.dismiss()
            raise EvaluationError(
                f"{self.n} training processes could not be started ({error}); give fewer 'processes'"
            ) from error
        except BaseException:
            self.dismiss()
            raise

    def dismiss(self) -> None:
        """End the workers, whatever they are doing: all that they have made is here."""
        for worker in self.workers:
            worker.connection.close()
            worker.end()
        self.workers, self._gradients = [], []
        for parameter in self.parameters:
            parameter.data = parameter.data.clone()
        torch.set_num_threads(self._threads)

    def loss_and_gradient(self, step: int, progress: float) -> Loss:
        """As ``Executor.loss_and_gradient``."""
        for worker in self.workers:
            try:
                worker.connection.send((step, progress))
            except OSError as error:
                raise _died(worker) from error
        losses = [batch_gradient(self.objective, self.parameters, progress, self.n)]
        for worker, gradients in zip(self.workers, self._gradients, strict=True):
            batch = _answer(worker)
            self._add(gradients.tensors, batch.has_gradient)
            if batch.evaluations and self.objective.target is not None:
                self.objective.target.counter.count += batch.evaluations
            losses.append(batch.loss)
        return mean_loss(losses)

    def _add(self, gradients: list[Tensor], given: list[bool]) -> None:
        """Add a worker's gradients; a parameter that no batch depends on keeps None."""
        sums, added = [], []
        for parameter, gradient, is_given in zip(self.parameters, gradients, given, strict=True):
            so_far = parameter.grad
            if is_given and so_far is not None:
                sums.append(so_far)
                added.append(gradient)
            elif is_given:
                parameter.grad = gradient.clone()
        if sums:
            torch._foreach_add_(sums, added)


class TeamExecutor(Executor):
    """``n`` processes on the CPU, this one among them, that are started on entry and gone on exit."""

    def __init__(self, objective: Objective, parameters: Sequence[nn.Parameter], n: int) -> None:
        self.n_processes = n
        self.team = Team(objective, parameters, n, self.start)

    @staticmethod
    @abstractmethod
    def start(task: Task) -> WorkerProcess:
        """Start a worker."""

    def __enter__(self) -> Self:
        self.team.gather()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.team.dismiss()

    def loss_and_gradient(self, step: int, progress: float) -> Loss:
        return self.team.loss_and_gradient(step, progress)


def _answer(worker: WorkerProcess) -> Batch:
    deadline = time.monotonic() + TIMEOUT
    try:
        while not worker.connection.poll(HEARTBEAT):
            worker.look()
            now, since = time.monotonic(), worker.stopped_since
            if since is not None and now - since > MOST_STOPPED:
                raise EvaluationError(
                    f"a training process ({worker.pid}) was stopped from outside and did not go on within"
                    f" {MOST_STOPPED:g} s; leave it running, or give fewer 'processes'"
                )
            if now > deadline:
                raise EvaluationError(f"a training process did not answer within {TIMEOUT:g} s")
        answer = worker.connection.recv()
    except (EOFError, OSError) as error:
        raise _died(worker) from error
    if isinstance(answer, Failure):
        raise answer.error
    return answer


def _died(worker: WorkerProcess) -> EvaluationError:
    code = worker.end()
    how = f"with exit code {code}" if code >= 0 else f"of {signal.Signals(-code).name}"
    return EvaluationError(f"a training process died {how}; where memory is short give fewer 'processes'")
