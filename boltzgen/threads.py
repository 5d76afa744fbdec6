"""As many threads as pay: on a machine that is busy with other work, one is faster than several.

Operations on some thousand conformations take tens of microseconds, at the end of which all threads wait for
the slowest. One that the system has set aside for other work holds up the others for milliseconds.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

SHAPE = (3, 16, 4096)  # coordinates, atoms, conformations
OPERATIONS = 128
MOST_WINS = 2  # of either side
LEAST_GAIN = 1.2  # of the rate with one thread

_given: list[int] = []  # threads outside of each context that this process is in


@contextmanager
def paying_threads(adapt: bool = True) -> Iterator[None]:
    """Inside, torch has one thread where several are no faster at present; afterwards as many as before.

    Without ``adapt`` nothing changes: sums depend on the number of threads in their last digits.
    """
    given = torch.get_num_threads()
    _given.append(given)
    try:
        if adapt and given > 1 and not _pay(given):
            torch.set_num_threads(1)
        yield
    finally:
        _given.pop()
        torch.set_num_threads(given)


def given_threads() -> int:
    """Threads that torch has outside of ``paying_threads``: as many processes share a training."""
    return _given[0] if _given else torch.get_num_threads()


def _pay(threads: int) -> bool:
    """Whether as many ``threads`` are faster than one, now: the better of three short races."""
    x = torch.ones(SHAPE)
    won = lost = 0
    while won < MOST_WINS and lost < MOST_WINS:
        torch.set_num_threads(1)
        alone = _seconds(x)
        torch.set_num_threads(threads)
        bound = alone / LEAST_GAIN
        if _seconds(x, bound) < bound:
            won += 1
        else:
            lost += 1
    return won > lost


def _seconds(x: torch.Tensor, most: float = float("inf")) -> float:
    """Seconds of some operations on x; of fewer where they have taken ``most`` before."""
    _operation(x)  # wakes the threads
    began = time.monotonic()
    for _ in range(OPERATIONS):
        _operation(x)
        if time.monotonic() - began > most:
            break
    return time.monotonic() - began


def _operation(x: torch.Tensor) -> torch.Tensor:
    return (x * x).sum(0).sqrt()
