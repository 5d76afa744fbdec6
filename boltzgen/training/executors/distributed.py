"""Training on several devices or machines, by processes that ``torchrun`` started.

One of them, of rank 0, runs the program: it keeps the clock, the optimiser and all files. The others serve
it: they are sent the objective of each stage, and for each step the parameters; each computes the gradient of
a batch of its own on its device, and the sum of all goes to rank 0. What rank 0 decides therefore holds for
all, and a checkpoint of it is one of the whole run.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from enum import IntEnum
from types import TracebackType
from typing import Any, Self

import torch
import torch.distributed as dist
from torch import Tensor, nn

from boltzgen.errors import EvaluationError
from boltzgen.interruption import ignore_signals
from boltzgen.objectives.objective import Loss, Objective
from boltzgen.training.executors.executor import Executor, mean_loss
from boltzgen.training.executors.worker import Answer, Failure, answer, reseed

FOR_EVER = timedelta(days=30)  # between two stages ranks wait as long as the program takes


class Command(IntEnum):
    """What rank 0 asks of the others."""

    STAGE, STEP, END = range(3)


def is_joined() -> bool:
    """Whether this process is one of several that work together."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


@contextmanager
def joined() -> Iterator[bool]:
    """Work together with the other processes of ``torchrun`` within; whether this is the one of rank 0.

    Each process sees one GPU of its machine, if there are any, as do processes of ``srun --gpus-per-task``.
    The others end when rank 0 leaves, which ends them whatever happened.

    Raises
    ------
    EvaluationError
        Where the processes do not find each other.
    """
    _keep_one_gpu()
    with _collective("the processes do not find each other"):
        backends = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(backends, timeout=FOR_EVER)
    try:
        yield dist.get_rank() == 0
    finally:
        if dist.get_rank() == 0:
            with suppress(RuntimeError):  # nobody is left to be told
                _command(Command.END)
        dist.destroy_process_group()


def _keep_one_gpu() -> None:
    visible = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    visible = visible or [str(k) for k in range(torch.cuda.device_count())]
    if len(visible) > 1:
        os.environ["CUDA_VISIBLE_DEVICES"] = visible[int(os.environ["LOCAL_RANK"]) % len(visible)]


class Distributed(Executor):
    """All processes of ``torchrun``; this is the one of rank 0."""

    def __init__(self, objective: Objective, parameters: Sequence[nn.Parameter]) -> None:
        self.objective, self.parameters = objective, list(parameters)
        self.n_processes = dist.get_world_size()

    def __enter__(self) -> Self:
        with _collective("a process of the training is gone"):
            _command(Command.STAGE)
            dist.broadcast_object_list([pickle.dumps(self.objective)], src=0)
        self._batch = _SharedBatch(self.parameters)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    def loss_and_gradient(self, step: int, progress: float) -> Loss:
        with _collective("a process of the training has died or is out of reach"):
            _command(Command.STEP, step, progress)
            answers = self._batch.compute(self.objective, progress)
        batches = []
        for rank, found in enumerate(answers):
            if isinstance(found, Failure):
                raise found.error
            batches.append(found)
            if rank and self.objective.target is not None:
                self.objective.target.counter.count += found.evaluations
        given = [any(flags) for flags in zip(*(batch.has_gradient for batch in batches), strict=True)]
        for parameter, row, is_given in zip(self.parameters, self._batch.rows, given, strict=True):
            parameter.grad = row.to(parameter.dtype) if is_given else None
        return mean_loss([batch.loss for batch in batches])


def serve() -> None:
    """What all ranks but 0 do: compute batches until rank 0 has ended.

    Raises
    ------
    EvaluationError
        Where rank 0 is gone.
    """
    ignore_signals()
    rank = dist.get_rank()
    with _collective("the main process of the training is gone"):
        while True:
            command, step, progress = _command()
            if command == Command.END:
                return
            if command == Command.STAGE:
                sent: list[Any] = [None]
                dist.broadcast_object_list(sent, src=0)
                objective: Objective = pickle.loads(sent[0])
                seed = objective.generator.initial_seed()
                batch = _SharedBatch([p for p in objective.model.parameters() if p.requires_grad])
            else:
                reseed(objective.generator, seed, step, rank)
                batch.compute(objective, progress)


class _SharedBatch:
    """A batch of every rank: parameters come from rank 0, gradients and losses go there."""

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        self.parameters = parameters
        # In double precision, which holds parameters of every type.
        n = sum(parameter.numel() for parameter in parameters)
        self.flat = torch.zeros(n, dtype=torch.float64, device=parameters[0].device)
        parts = self.flat.split([parameter.numel() for parameter in parameters])
        self.rows = [part.view_as(p) for part, p in zip(parts, parameters, strict=True)]

    def compute(self, objective: Objective, progress: float) -> list[Answer]:
        """Every rank's answer, on rank 0, whose ``rows`` have the sums of the gradients."""
        values: list[Tensor] = [parameter.data for parameter in self.parameters]
        torch._foreach_copy_(self.rows, values)
        dist.broadcast(self.flat, src=0)
        torch._foreach_copy_(values, self.rows)
        self.flat.zero_()
        n, rank = dist.get_world_size(), dist.get_rank()
        # A failure is told to rank 0 after the gradients, so that no process waits for another one.
        mine = answer(objective, self.parameters, self.rows, progress, n)
        dist.reduce(self.flat, dst=0)
        answers: list[Any] | None = [None] * n if rank == 0 else None
        dist.gather_object(mine, answers, dst=0)
        return answers or []


def _command(command: Command = Command.END, step: int = 0, progress: float = 0.0) -> tuple[int, int, float]:
    """The command of rank 0, to all ranks."""
    message = torch.tensor([float(command), float(step), progress], dtype=torch.float64)
    dist.broadcast(message, src=0)
    return int(message[0]), int(message[1]), float(message[2])


@contextmanager
def _collective(what: str) -> Iterator[None]:
    """Tell an error of the communication in a sentence."""
    try:
        yield
    except RuntimeError as error:  # those of torch.distributed are such
        reason = (str(error).splitlines() or [""])[0][:200]
        raise EvaluationError(f"{what} ({reason}); start all again with --resume") from error
