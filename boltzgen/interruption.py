"""Signals that ask a process to end: Ctrl-C, SIGTERM, and SIGUSR1, by which Slurm announces the end of a job.

The first one lets the process put its work aside; while that lasts, the second one ends it at once.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name))
EXIT_REQUEUE = 75  # EX_TEMPFAIL of sysexits.h: try again later


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
        again = hasattr(signal, "SIGUSR1") and self.number == signal.SIGUSR1
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
        _end_on_the_next()


def _raise(number: int, frame: FrameType | None) -> None:
    _end_on_the_next()
    raise InterruptedRunError(number)


def _end_on_the_next() -> None:
    """By the system, whatever Python is doing then."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
