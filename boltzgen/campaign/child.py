"""A process for each molecule, with limits on its time and memory: what happens to it happens to no other.

The processes are forked from a server that has imported everything and done nothing, so that each begins
within milliseconds. One that is asked to stop, or whose worker has died, puts its work aside and ends.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from boltzgen.campaign.molecule import Ending
from boltzgen.errors import InputError
from boltzgen.interruption import InterruptedRunError, ignore_repeated_signals, raising_on_signals
from boltzgen.memory import usable_bytes

PRELOADED = ["boltzgen.campaign.child", "boltzgen.campaign.molecule", "mdtraj", "matplotlib.pyplot"]
GRACE = 60.0  # seconds for a checkpoint
START_SECONDS = 300.0  # for the start of a process on a busy machine
MEMORY_SHARE = 0.9  # of the machine's, for the molecules that are under way on it
BYTES_PER_GIGABYTE = 1e9


@dataclass(frozen=True)
class Limits:
    """Most seconds, and bytes of memory, of a process; None: no limit."""

    seconds: float | None = None
    memory: int | None = None


def memory_limit(gigabytes: float | None, workers: int, device: str = "cpu") -> int | None:
    """Bytes for each of ``workers`` processes on this machine: as asked for, or a share of what it has.

    None, no limit, where ``device`` is a GPU, whose driver reserves more address space than there is memory.

    Raises
    ------
    InputError
        Where a limit is asked for that cannot be kept to.
    """
    import torch

    if device != "cpu" and torch.cuda.is_available():
        if gigabytes is not None:
            raise InputError(
                f"--memory {gigabytes:g} cannot be kept to on a GPU, whose driver reserves more address space"
                " than there is memory: leave it out, or give --device cpu."
            )
        return None
    if gigabytes is not None:
        return int(gigabytes * BYTES_PER_GIGABYTE)
    usable = usable_bytes()
    return None if usable is None else int(MEMORY_SHARE * usable / workers)


def run_in_child(
    work: Callable[..., Ending], arguments: tuple[Any, ...], limits: Limits, log: Path
) -> Ending:
    """What ``work(*arguments)`` returns in a process of its own; ``log`` gets what it prints.

    Where this process is interrupted, the other one is asked to stop and waited for.
    """
    context = _context()
    ours, theirs = context.Pipe()
    process = context.Process(target=_child, args=(work, arguments, limits, log, theirs))
    process.start()
    theirs.close()
    try:
        return _ending(process, ours, limits)
    except InterruptedRunError:
        ours.close()  # asks it to stop
        process.join(GRACE)
        raise
    finally:
        process.kill()
        process.join()
        process.close()


@functools.cache
def _context() -> Any:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def _ending(process: Any, connection: Connection, limits: Limits) -> Ending:
    """What the process says, first that it has begun, from when on its time counts; or how it died."""
    with suppress(EOFError, OSError):
        for seconds in (START_SECONDS, limits.seconds):
            if not wait([connection, process.sentinel], seconds):
                return Ending("failed", f"it had not ended after {seconds:g} s")
            if not connection.poll():
                break
            said: Ending | None = connection.recv()
            if said is not None:
                process.join(GRACE)
                return said
    process.join(GRACE)
    code = process.exitcode
    if code is None:
        return Ending("failed", "its process hangs")
    if code == -signal.SIGKILL:
        return Ending("killed", "its process was killed")
    how = f"of {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
    return Ending("failed", f"its process died {how}")


def _child(
    work: Callable[..., Ending], arguments: tuple[Any, ...], limits: Limits, log: Path, connection: Connection
) -> None:
    ignore_repeated_signals()
    with log.open("a") as printed:
        os.dup2(printed.fileno(), 1)
        os.dup2(printed.fileno(), 2)
    with raising_on_signals():
        try:
            threading.Thread(target=_stop_with, args=(connection,), daemon=True).start()
            _limit_memory(limits.memory)
            connection.send(None)
            ending = work(*arguments)
        except InterruptedRunError as stopped:
            ending = Ending("interrupted", str(stopped))
        except MemoryError:
            ending = Ending("failed", "there was too little memory")
    sys.stdout.flush()
    sys.stderr.flush()
    if ending.kind == "converged" or log.stat().st_size == 0:
        log.unlink(missing_ok=True)
    with suppress(OSError):
        connection.send(ending)
    os._exit(0)  # threads of libraries are not waited for


def _stop_with(connection: Connection) -> None:
    """Ask this process to stop when the other end of ``connection`` is closed, or its process has died."""
    with suppress(EOFError, OSError):
        connection.recv()
    os.kill(os.getpid(), signal.SIGTERM)


def _limit_memory(most: int | None) -> None:
    """Allocations beyond ``most`` bytes fail, and where the machine runs short this process goes first."""
    if sys.platform != "linux":
        return
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    import resource

    if most is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
