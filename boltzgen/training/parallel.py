"""Training on several CPU cores: forked processes that each compute the gradient of a batch of their own.

A step of a flow is a few hundred small kernels that a second thread does not help; a second process doubles
the batch instead. Parameters and gradients lie in memory that all processes share, so that a step sends a few
numbers each way. With W processes the gradient is the mean of W batches' gradients.
"""

from __future__ import annotations

import gc
import mmap
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from types import TracebackType

import numpy as np
import torch
from torch import Tensor, nn

from boltzgen.energies.bridge.term import BridgeTerm
from boltzgen.errors import EvaluationError, InputError
from boltzgen.objectives.objective import Loss
from boltzgen.training.config import TrainingConfig
from boltzgen.training.cores import usable_cores
from boltzgen.training.stage import Stage

MOST_PROCESSES = 8  # unless more are asked for
TIMEOUT = 300.0  # seconds for one batch, compiling its machine code included
_ALIGNMENT = 64  # bytes


@dataclass(frozen=True)
class _Batch:
    """What a worker tells of its batch; ``has_gradient``: which parameters' gradients it has written."""

    value: float
    log_weights: np.ndarray | None
    n_dropped: int
    evaluations: int
    has_gradient: list[bool]


@dataclass(frozen=True)
class _Failure:
    message: str
    trace: str


@dataclass
class _Worker:
    """A process, the pipe to it, and where it writes its gradients."""

    pid: int
    connection: Connection
    gradients: list[Tensor]
    exit_code: int | None = None

    def end(self) -> int:
        """Its exit code, or minus the signal that it died of: this one's, where it was still alive."""
        if self.exit_code is None:
            os.kill(self.pid, signal.SIGKILL)  # no effect on one that is ending: its status stands
            self.exit_code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.exit_code


def n_processes(stage: Stage, config: TrainingConfig, parameters: Sequence[nn.Parameter]) -> int:
    """How many processes share the batches of ``stage``: one where its loss keeps anything between steps.

    ``config.processes``, or else as many as torch has threads where time is the limit; with a fixed number of
    steps one, as a run is then to come out the same on every machine. Energies of OpenMM itself have worker
    processes already. Raises InputError where several are asked for and this machine cannot have them.
    """
    # On macOS system libraries, and with a GPU autograd's threads, do not survive a fork.
    able = (
        sys.platform == "linux"
        and not torch.accelerator.is_available()
        and all(parameter.device.type == "cpu" for parameter in parameters)
    )
    asked = config.processes
    if asked is not None and asked > 1 and not able:
        raise InputError(
            f"Training in {asked} processes needs Linux and a machine whose GPUs are absent or hidden"
            " (CUDA_VISIBLE_DEVICES=''); leave 'processes' out."
        )
    if not stage.objective.is_stateless or not able:
        return 1
    if asked is not None:
        return asked
    cores = min(usable_cores(), torch.get_num_threads(), MOST_PROCESSES)
    if config.max_steps is not None or cores == 1:
        return 1
    target = stage.objective.target
    bridged = target is not None and any(isinstance(t, BridgeTerm) for t in target.energy.terms.values())
    return 1 if bridged else cores


class Team:
    """``n`` processes, this one among them, that compute the batches of one stage. A context manager.

    The others are forked on entry, with the loss as it then is, and gone on exit. Their random numbers are a
    function of the generator's seed, the step and their rank, so that a run repeats, resumed or not. While
    the team is there torch has one thread and ``parameters`` lie in shared memory.
    """

    def __init__(self, stage: Stage, parameters: Sequence[nn.Parameter], n: int) -> None:
        self.stage, self.parameters, self.n = stage, list(parameters), n
        self._workers: list[_Worker] = []
        self._seed = stage.objective.generator.initial_seed()
        self._threads = torch.get_num_threads()

    def __enter__(self) -> Team:
        if self.n == 1:
            return self
        torch.set_num_threads(1)
        try:
            for parameter, shared in zip(self.parameters, _shared_like(self.parameters), strict=True):
                shared.copy_(parameter.data)
                parameter.data = shared
            for rank in range(1, self.n):
                self._workers.append(self._hired(rank))
        except OSError as error:
            self._dismiss()
            raise EvaluationError(
                f"{self.n} training processes could not be started ({error}); give fewer 'processes'"
            ) from error
        except BaseException:
            self._dismiss()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.n > 1:
            self._dismiss()

    def loss_and_gradient(self, step: int, progress: float) -> Loss:
        """Every process's loss together, the mean of its gradients in ``parameters``.

        Its value is not finite, and the gradients mean nothing, where any batch's is not. Raises
        EvaluationError where a worker fails, dies or does not answer in time.
        """
        for worker in self._workers:
            try:
                worker.connection.send((step, progress))
            except OSError as error:
                raise self._died(worker) from error
        losses = [_differentiated(self.stage, self.parameters, progress, self.n)]
        for worker in self._workers:
            batch = self._answer(worker)
            self._add(worker.gradients, batch.has_gradient)
            if batch.evaluations:
                self._count(batch.evaluations)
            weights = None if batch.log_weights is None else torch.from_numpy(batch.log_weights)
            losses.append(Loss(torch.tensor(batch.value, dtype=torch.float64), weights, batch.n_dropped))
        if not self._workers:
            return losses[0]
        weights_of_all = [loss.log_weights for loss in losses if loss.log_weights is not None]
        return Loss(
            torch.stack([loss.value.double() for loss in losses]).mean(),
            torch.cat(weights_of_all) if weights_of_all else None,
            sum(loss.n_dropped for loss in losses),
        )

    def _add(self, gradients: list[Tensor], given: list[bool]) -> None:
        """Adds a worker's gradients; a parameter that no batch depends on keeps None."""
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

    def _count(self, evaluations: int) -> None:
        assert self.stage.objective.target is not None
        self.stage.objective.target.counter.count += evaluations

    def _answer(self, worker: _Worker) -> _Batch:
        try:
            if not worker.connection.poll(TIMEOUT):
                raise EvaluationError(f"a training process did not answer within {TIMEOUT:g} s")
            answer = worker.connection.recv()
        except (EOFError, OSError) as error:
            raise self._died(worker) from error
        if isinstance(answer, _Failure):
            failure = EvaluationError(f"a training process failed: {answer.message}")
            failure.add_note(answer.trace)
            raise failure
        return answer

    def _died(self, worker: _Worker) -> EvaluationError:
        code = worker.end()
        how = f"with exit code {code}" if code >= 0 else f"of {signal.Signals(-code).name}"
        return EvaluationError(f"a training process died {how}; where memory is short give fewer 'processes'")

    def _hired(self, rank: int) -> _Worker:
        ours, theirs = Pipe()
        gradients = _shared_like(self.parameters)
        owner = os.getpid()
        try:
            with warnings.catch_warnings():
                # Threads at a fork are dangerous for the locks that they hold: a worker takes none of those.
                warnings.simplefilter("ignore", DeprecationWarning)
                pid = os.fork()
            if pid == 0:
                for worker in self._workers:  # or they would not see the end of this team
                    worker.connection.close()
                ours.close()
                self._work(rank, theirs, gradients)
        finally:
            if os.getpid() != owner:
                os._exit(0)
        theirs.close()
        return _Worker(pid, ours, gradients)

    def _work(self, rank: int, connection: Connection, gradients: list[Tensor]) -> None:
        """What a worker does until the other end of its pipe is closed, by whatever ends the main process."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the main process
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        gc.freeze()  # what others left may wait for threads that are not here when it is collected
        torch.set_num_threads(1)
        while True:
            try:
                step, progress = connection.recv()
            except (EOFError, OSError):
                return
            answer: _Batch | _Failure
            try:
                answer = self._batch(rank, step, progress, gradients)
            except BaseException as error:
                answer = _Failure(f"{type(error).__name__}: {error}", traceback.format_exc())
            try:
                connection.send(answer)
            except OSError:
                return

    def _batch(self, rank: int, step: int, progress: float, gradients: list[Tensor]) -> _Batch:
        generator, target = self.stage.objective.generator, self.stage.objective.target
        reseed(generator, self._seed, step, rank)
        before = 0 if target is None else target.counter.count
        loss = _differentiated(self.stage, self.parameters, progress, self.n)
        made = [
            (row, p.grad) for row, p in zip(gradients, self.parameters, strict=True) if p.grad is not None
        ]
        if made:
            torch._foreach_copy_([row for row, _ in made], [gradient for _, gradient in made])
        return _Batch(
            value=float(loss.value),
            log_weights=None if loss.log_weights is None else loss.log_weights.numpy(),
            n_dropped=loss.n_dropped,
            evaluations=0 if target is None else target.counter.count - before,
            has_gradient=[p.grad is not None for p in self.parameters],
        )

    def _dismiss(self) -> None:
        """Ends the workers, whatever they are doing: all that they have made is here."""
        for worker in self._workers:
            worker.connection.close()
            worker.end()
        self._workers = []
        for parameter in self.parameters:
            parameter.data = parameter.data.clone()
        torch.set_num_threads(self._threads)


def _differentiated(stage: Stage, parameters: Sequence[nn.Parameter], progress: float, n: int) -> Loss:
    """The loss of one of ``n`` batches; where it is finite ``parameters`` have an n-th of its gradient."""
    loss = stage.objective.loss(progress)
    for parameter in parameters:
        parameter.grad = None
    if torch.isfinite(loss.value):
        (loss.value / n).backward()
    weights = None if loss.log_weights is None else loss.log_weights.detach()
    return Loss(loss.value.detach(), weights, loss.n_dropped)


def reseed(generator: torch.Generator, seed: int, step: int, rank: int) -> None:
    """Set ``generator``, and torch's own, to a stream of their own for every step and rank."""
    words = np.random.SeedSequence(seed, spawn_key=(step, rank)).generate_state(2)
    generator.manual_seed(int(words[0]))
    torch.default_generator.manual_seed(int(words[1]))


def _shared_like(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Tensors of these shapes in memory that forked processes share, and that goes with the last of them."""
    sizes = [-(-t.numel() * t.element_size() // _ALIGNMENT) * _ALIGNMENT for t in tensors]
    memory = mmap.mmap(-1, max(sum(sizes), 1))
    starts = np.cumsum([0, *sizes])
    return [
        torch.frombuffer(memory, dtype=t.dtype, count=t.numel(), offset=int(start)).view(t.shape)
        if t.numel()
        else torch.empty_like(t)
        for t, start in zip(tensors, starts, strict=False)
    ]
