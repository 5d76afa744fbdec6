"""Many independent jobs, each in a process of its own with a time limit: what cannot be stopped is ended."""

import multiprocessing
import os
import time
import traceback
from collections.abc import Callable, Iterable
from multiprocessing.connection import Connection, wait
from typing import Any

PRELOADED = ["boltzgen.workflows.sample", "benchmarks.harness", "matplotlib.pyplot", "mdtraj"]
Row = dict[str, Any]


def run_jobs(
    work: Callable[..., Row],
    jobs: Iterable[tuple[str, tuple]],
    workers: int,
    seconds: float,
    keep: Callable[[str, Row], None],
) -> None:
    """Calls ``keep(name, row)`` with the row that ``work(*arguments)`` makes of each job (name, arguments).

    ``workers`` at a time. A row gets "seconds", and "fault" where there was one: an exception's traceback,
    the death of the process, or ``seconds`` exceeded. What libraries print is kept in "printed".
    """
    context = multiprocessing.get_context("forkserver")  # imports once, runs nothing before it forks
    context.set_forkserver_preload(PRELOADED)
    queue, running = list(jobs)[::-1], {}
    while queue or running:
        while queue and len(running) < workers:
            name, arguments = queue.pop()
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(target=_child, args=(work, arguments, theirs))
            process.start()
            theirs.close()
            running[ours] = (process, name, time.monotonic())
        ready = wait(list(running), timeout=0.5)
        for connection, (process, name, began) in list(running.items()):
            took = time.monotonic() - began
            if connection in ready:
                try:
                    row = connection.recv()
                except EOFError:
                    process.join()
                    row = {"fault": f"the process ended with code {process.exitcode}"}
            elif took > seconds:
                row = {"fault": f"not ready after {seconds:g} s"}
            else:
                continue
            process.kill()
            process.join()
            connection.close()
            del running[connection]
            keep(name, {"seconds": round(took, 2), **row})


def _child(work: Callable[..., Row], arguments: tuple, connection: Connection) -> None:
    import tempfile

    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryFile("w+") as printed:
        os.dup2(printed.fileno(), 1)
        os.dup2(printed.fileno(), 2)
        try:
            row = work(*arguments)
        except Exception:
            row = {"fault": traceback.format_exc()[-2000:]}
        printed.seek(0)
        connection.send({"printed": printed.read(200), **row})
