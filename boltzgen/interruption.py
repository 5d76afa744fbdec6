"""Signals that ask a process to end: Ctrl-C, SIGTERM, and the notices of schedulers, SIGUSR1 and SIGUSR2.

The first one lets the process put its work aside; while that lasts, the second one ends it at once. Slurm
sends a signal to every process of a job, and a process that works for another one may get it from there as
well: ``ignore_repeated_signals`` is for these.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

_NAMES = ("SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2")
SIGNALS = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))
EXIT_REQUEUE = 75  # EX_TEMPFAIL of sysexits.h: try again later

_repeated: Any = signal.SIG_DFL  # what a signal after the first one does


class InterruptedRunError(BaseException):
    """The process was asked to end; not an Exception, so that no handler of failures takes it for one."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    def __str__(self) -> str:
        return f"stopped by {signal.Signals(self.number).name}"

    @property
    def exit_code(self) -> int:
        """128 and the signal's number, as shells have it; 75 where a scheduler is to start the job again."""
        again = signal.Signals(self.number).name.startswith("SIGUSR")
        return EXIT_REQUEUE if again else 128 + self.number


@contextmanager
def raising_on_signals() -> Iterator[None]:
    """The first of ``SIGNALS`` raises ``InterruptedRunError``, and the next ends the process at once."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    caught = [number for number, handler in before.items() if handler not in (signal.SIG_IGN, None)]
    for number in caught:
        signal.signal(number, _raise)
    try:
        yield
    finally:
        for number in caught:
            signal.signal(number, before[number])


def ignore_signals() -> None:
    """Leave them to the process that this one works for."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def ignore_repeated_signals() -> None:
    """In this process, from now on: while work is put aside after a first signal, others change nothing.

    For a process that another one started, which ends it by SIGKILL where it takes too long.
    """
    global _repeated
    _repeated = signal.SIG_IGN


class DeferredSignals:
    """Keeps a signal until what is under way is whole; a context manager for the main thread.

    What runs within looks at ``requested`` where it can stop, puts its work aside and raises. On leaving, the
    signal does what it would have done without.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._before: dict[int, Any] = {}

    @property
    def requested(self) -> bool:
        """Whether a signal has come."""
        return self.number is not None

    def __enter__(self) -> DeferredSignals:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self.number is not None:
            signal.raise_signal(self.number)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.number = number
        _leave_the_next()


def _raise(number: int, frame: FrameType | None) -> None:
    _leave_the_next()
    raise InterruptedRunError(number)


def _leave_the_next() -> None:
    """To the system, which ends the process whatever Python is doing then, or ignores it."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _repeated)
