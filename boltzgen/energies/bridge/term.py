"""Forces that only OpenMM itself can compute: worker processes, each with a single-threaded context.

The slow path: thousands of energies a second where compiled terms give a million. It exists so that any force
of OpenMM, a plugin's or one written in Python included, has an energy here.
"""

from __future__ import annotations

import os
import selectors
import threading
import time
import weakref
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from boltzgen.cores import usable_cores
from boltzgen.energies.bridge.process import WorkerProcess
from boltzgen.errors import EvaluationError

_CHUNKS_PER_WORKER = 4  # so that a worker on a busy core does not hold up the others
_EXACT = "Reference"  # OpenMM's platform in double precision
TIMEOUT = 300.0  # seconds for one chunk


class BridgeTerm:
    """Energy of an ``openmm.System`` (as XML) by OpenMM's own platforms, or of a calculator (as its recipe).

    In float64 the Reference platform is used; in float32 the first worker measures once which platform is
    faster. Threads take turns; a forked process starts workers of its own.

    Parameters
    ----------
    name
        Name of the term.
    xml
        The serialized system, or the recipe of a calculator as JSON.
    workers
        Number of processes; as many as this process has cores unless given.
    timeout
        Seconds for one chunk of configurations, the start of its process included.
    """

    kind: ClassVar[str] = "bridge"

    def __init__(self, name: str, xml: str, workers: int | None = None, timeout: float = TIMEOUT) -> None:
        self.name, self.xml, self.timeout = name, xml, timeout
        self.n_workers = workers or usable_cores()
        self._platform: str | None = None  # of float32, once measured
        self._pool: _Pool | None = None
        self._turn = threading.Lock()
        _TERMS.add(self)

    def state(self) -> dict[str, Any]:
        """Arguments that build the term again."""
        return {"name": self.name, "xml": self.xml}

    def energy_and_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Evaluate the term by the worker processes.

        Parameters
        ----------
        x
            Positions in nm, [3, atoms, batch].

        Returns
        -------
        energy, gradient
            In kJ/mol, [batch], and in kJ/mol/nm, [3, atoms, batch]; +inf and zero where positions or energy
            are not finite.

        Raises
        ------
        EvaluationError
            Where a worker dies, fails or does not answer in time.
        """
        frames = x.detach().permute(2, 1, 0).to(device="cpu", dtype=torch.float64).contiguous().numpy()
        energy, gradient = np.full(len(frames), np.inf), np.zeros_like(frames)
        (sound,) = np.isfinite(frames).all(axis=(1, 2)).nonzero()
        if len(sound):
            with self._turn:
                energy[sound], gradient[sound] = self._evaluate(frames[sound], x.dtype == torch.float64)
        return torch.from_numpy(energy).to(x), torch.from_numpy(gradient).permute(2, 1, 0).contiguous().to(x)

    def _evaluate(self, frames: np.ndarray, exact: bool) -> tuple[np.ndarray, np.ndarray]:
        if self._pool is None or self._pool.closed:
            self._pool = _Pool(self.xml, self.n_workers, self.timeout)
        if exact:
            return self._pool.evaluate(frames, _EXACT)
        self._platform = self._platform or self._pool.faster_platform(frames[0])
        return self._pool.evaluate(frames, self._platform)

    def _after_fork(self) -> None:
        """In the child: a thread that is not here may hold the lock, and the workers are the parent's."""
        self._turn = threading.Lock()
        if self._pool is not None:
            self._pool.abandon()
            self._pool = None


_TERMS: weakref.WeakSet[BridgeTerm] = weakref.WeakSet()


def _after_fork() -> None:
    for term in list(_TERMS):
        term._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class _Pool:
    def __init__(self, xml: str, n_workers: int, timeout: float) -> None:
        self.timeout = timeout
        self.workers: list[WorkerProcess] = []
        self._finalizer = weakref.finalize(self, _stop, self.workers)
        for _ in range(n_workers):
            self.workers.append(WorkerProcess(xml))

    @property
    def closed(self) -> bool:
        return not self._finalizer.alive

    def close(self) -> None:
        self._finalizer()

    def abandon(self) -> None:
        """Lets go of workers that belong to another process."""
        if self._finalizer.detach():
            for worker in self.workers:
                worker.close()

    def faster_platform(self, frame: np.ndarray) -> str:
        """OpenMM's name of the platform that takes less time for a frame [atoms, 3]."""
        (answer,) = self._converse([_question("?", frame)])
        return answer[1:].decode()

    def evaluate(self, frames: np.ndarray, platform: str) -> tuple[np.ndarray, np.ndarray]:
        """Energies [n] and gradients [n, atoms, 3] of float64 frames [n, atoms, 3]."""
        size = max(1, -(-len(frames) // (len(self.workers) * _CHUNKS_PER_WORKER)))
        chunks = [frames[start : start + size] for start in range(0, len(frames), size)]
        answers = self._converse([_question(platform, chunk) for chunk in chunks])
        energies, gradients = [], []
        for chunk, answer in zip(chunks, answers, strict=True):
            numbers = np.frombuffer(answer, dtype=np.float64, offset=8)
            energies.append(numbers[: len(chunk)])
            gradients.append(numbers[len(chunk) :].reshape(chunk.shape))
        return np.concatenate(energies), np.concatenate(gradients)

    def _converse(self, questions: list[bytes]) -> list[bytes]:
        """The answer to each question, from whichever worker is free; each has ``timeout`` seconds."""
        answers: list[bytes] = [b""] * len(questions)
        waiting, idle = list(range(len(questions)))[::-1], list(self.workers)
        busy: dict[WorkerProcess, tuple[int, float]] = {}
        try:
            with selectors.DefaultSelector() as selector:
                while waiting or busy:
                    while waiting and idle:
                        worker, number = idle.pop(), waiting.pop()
                        worker.ask(questions[number])
                        busy[worker] = (number, time.monotonic() + self.timeout)
                        selector.register(worker.socket, worker.events, worker)
                    first_deadline = min(deadline for _, deadline in busy.values())
                    selector.select(max(0.0, first_deadline - time.monotonic()))
                    for worker, (number, deadline) in list(busy.items()):
                        answer = worker.move()
                        if answer is not None:
                            answers[number] = answer
                            selector.unregister(worker.socket)
                            del busy[worker]
                            idle.append(worker)
                        elif time.monotonic() > deadline:
                            raise EvaluationError(
                                f"an OpenMM worker did not answer within {self.timeout:g} s"
                            )
                        else:
                            selector.modify(worker.socket, worker.events, worker)
        except BaseException:
            self.close()  # what is still on its way belongs to no one any more
            raise
        return answers


def _question(platform: str, frames: np.ndarray) -> bytes:
    return platform.ljust(16).encode() + np.ascontiguousarray(frames).tobytes()


def _stop(workers: list[WorkerProcess]) -> None:
    for worker in workers:
        worker.stop()
