"""Forces that only OpenMM itself can compute: worker processes, each with a single-threaded context.

The slow path: thousands of energies a second where compiled terms give a million. It exists so that any force
of OpenMM, a plugin's or one written in Python included, has an energy here.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from boltzgen.errors import EvaluationError

_CHUNKS_PER_WORKER = 4  # so that a worker on a busy core does not hold up the others
_WORKER = Path(__file__).with_name("bridge_worker.py")
TIMEOUT = 300.0  # seconds for one chunk


class BridgeTerm:
    """Energy of an ``openmm.System`` (as XML) by OpenMM's own platforms.

    In float64 the Reference platform is used; in float32 each worker measures once which platform is faster.
    workers: number of processes (default: as many as the process has cores); timeout: seconds for one chunk.
    """

    kind: ClassVar[str] = "bridge"

    def __init__(self, name: str, xml: str, workers: int | None = None, timeout: float = TIMEOUT) -> None:
        self.name, self.xml, self.timeout = name, xml, timeout
        self.n_workers = workers or _cores()
        self._pools: dict[torch.dtype, _Pool] = {}

    def state(self) -> dict[str, Any]:
        """Arguments that build the term again."""
        return {"name": self.name, "xml": self.xml}

    def energy_and_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Energy [batch] in kJ/mol and gradient [3, atoms, batch] of positions [3, atoms, batch] in nm.

        Non-finite positions or energies give +inf and a zero gradient.
        Raises EvaluationError where a worker dies, fails or does not answer in time.
        """
        if x.dtype not in self._pools or self._pools[x.dtype].closed:
            exact = x.dtype == torch.float64
            self._pools[x.dtype] = _Pool(self.xml, self.n_workers, self.timeout, exact)
        frames = x.detach().permute(2, 1, 0).to(device="cpu", dtype=torch.float64).contiguous().numpy()
        energy, gradient = self._pools[x.dtype].evaluate(frames)
        return torch.from_numpy(energy).to(x), torch.from_numpy(gradient).permute(2, 1, 0).contiguous().to(x)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Worker:
    """One process and the connection to it."""

    def __init__(self, xml: str, exact: bool) -> None:
        ours, theirs = socket.socketpair()
        self.log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        # as a file of its own (-P: without its folder on the path), so that it need not import torch
        command = [sys.executable, "-P", str(_WORKER), str(theirs.fileno()), str(int(exact))]
        self.process = subprocess.Popen(
            command,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stderr=self.log,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENMM_CPU_THREADS": "1"},
        )
        theirs.close()
        self.connection = Connection(ours.detach())
        self.connection.send_bytes(xml.encode())

    def last_words(self) -> str:
        """The end of what it wrote to standard error."""
        self.log.seek(0)
        lines = self.log.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    def stop(self) -> None:
        self.connection.close()
        self.process.kill()
        self.process.wait()
        self.log.close()


class _Pool:
    def __init__(self, xml: str, n_workers: int, timeout: float, exact: bool) -> None:
        self.timeout = timeout
        self.workers = [_Worker(xml, exact) for _ in range(n_workers)]
        self._finalizer = weakref.finalize(self, _stop, self.workers)

    @property
    def closed(self) -> bool:
        return not self._finalizer.alive

    def close(self) -> None:
        self._finalizer()

    def evaluate(self, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Energies [n] and gradients [n, atoms, 3] of float64 frames [n, atoms, 3]."""
        energies, gradients = np.empty(len(frames)), np.empty_like(frames)
        size = max(1, -(-len(frames) // (len(self.workers) * _CHUNKS_PER_WORKER)))
        chunks = [slice(start, min(start + size, len(frames))) for start in range(0, len(frames), size)]
        waiting, busy = chunks[::-1], dict[Connection, tuple[_Worker, slice, float]]()
        idle = list(self.workers)
        try:
            while waiting or busy:
                while waiting and idle:
                    worker, chunk = idle.pop(), waiting.pop()
                    self._give(worker, frames[chunk])
                    busy[worker.connection] = (worker, chunk, time.monotonic() + self.timeout)
                first_deadline = min(deadline for _, _, deadline in busy.values())
                ready = wait(list(busy), max(0.0, first_deadline - time.monotonic()))
                if not ready:
                    raise EvaluationError(f"an OpenMM worker did not answer within {self.timeout:g} s")
                for connection in ready:
                    worker, chunk, _ = busy.pop(connection)  # type: ignore[call-overload]
                    energies[chunk], gradients[chunk] = self._take(worker, gradients[chunk].shape)
                    idle.append(worker)
        except BaseException:
            self.close()  # what is still in the pipes belongs to no one any more
            raise
        return energies, gradients

    def _give(self, worker: _Worker, frames: np.ndarray) -> None:
        try:
            worker.connection.send_bytes(np.ascontiguousarray(frames).tobytes())
        except OSError as error:
            raise EvaluationError(f"an OpenMM worker died: {worker.last_words()}") from error

    def _take(self, worker: _Worker, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        try:
            answer = worker.connection.recv_bytes()
        except (EOFError, OSError) as error:
            worker.process.wait(timeout=10)
            raise EvaluationError(
                f"an OpenMM worker died with exit code {worker.process.returncode}: {worker.last_words()}"
            ) from error
        if answer[:1] != b"=":
            raise EvaluationError(f"OpenMM could not compute an energy: {answer[1:].decode()}")
        numbers = np.frombuffer(answer, dtype=np.float64, offset=8)
        return numbers[: shape[0]], numbers[shape[0] :].reshape(shape)


def _stop(workers: list[_Worker]) -> None:
    for worker in workers:
        worker.stop()
