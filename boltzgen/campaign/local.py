"""Several workers on this machine, each a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from boltzgen.campaign.child import GRACE
from boltzgen.campaign.folder import LOGS
from boltzgen.cores import usable_cores
from boltzgen.interruption import EXIT_REQUEUE, SIGNALS, InterruptedRunError

LOOK = 0.5  # seconds
WORKERS_LOG = "workers.log"


class LocalWorkers:
    """``n`` workers in the campaign of ``folder``, by default one a core, or ``per_gpu`` for each GPU."""

    def __init__(self, folder: Path, n: int | None = None, per_gpu: int = 1) -> None:
        self.folder = folder
        self.gpus = _gpus()
        self.n = n or (len(self.gpus) * per_gpu if self.gpus else usable_cores())
        self.processes: list[subprocess.Popen[bytes]] = []

    def run(self, look: Callable[[], None] = lambda: None) -> int:
        """Start all and wait for them, calling ``look`` meanwhile; the largest exit code, 0 if all went well.

        Where this process is interrupted, the workers are asked to stop and waited for.
        """
        try:
            self.processes = [self._started(number) for number in range(self.n)]
            while any(process.poll() is None for process in self.processes):
                look()
                time.sleep(LOOK)
        except InterruptedRunError:
            self.stop()
            raise
        return max(abs(process.returncode) for process in self.processes)

    def stop(self) -> None:
        """Ask all to put their work aside, and end those that do not within ``GRACE`` and a few seconds."""
        for process in self.processes:
            process.terminate()
        deadline = time.monotonic() + GRACE + 10.0
        for process in self.processes:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    @property
    def were_stopped(self) -> bool:
        """Whether some workers ended as they were asked to, and the others at the end of their work."""
        codes = {process.returncode for process in self.processes} - {0}
        by_signal = {-number for number in SIGNALS} | {128 + number for number in SIGNALS}
        return bool(codes) and codes <= by_signal | {EXIT_REQUEUE}

    def _started(self, number: int) -> subprocess.Popen[bytes]:
        threads = max(1, usable_cores() // self.n)
        log = self.folder / LOGS / WORKERS_LOG
        environment = {"OMP_NUM_THREADS": str(threads)} | os.environ
        if self.gpus:
            environment["CUDA_VISIBLE_DEVICES"] = self.gpus[number % len(self.gpus)]
        command = ["campaign", "--worker", "--out", str(self.folder), "--workers", str(self.n)]
        with log.open("ab") as printed:
            return subprocess.Popen(
                [sys.executable, "-m", "boltzgen", *command],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.STDOUT,
            )


def _gpus() -> list[str]:
    """Names of the GPUs that this process may use, as CUDA_VISIBLE_DEVICES takes them."""
    import torch

    n = torch.cuda.device_count()
    given = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return [name.strip() for name in given.split(",")][:n] if given else [str(k) for k in range(n)]
