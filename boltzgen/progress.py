"""What a running workflow tells whoever watches, and how long each of its stages took."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True)
class StageProgress:
    """``fraction`` of the stage that is done, seconds left of it, each where known; a note in a few words."""

    stage: str
    fraction: float | None = None
    seconds_left: float | None = None
    note: str = ""


Report = Callable[[StageProgress], None]


def silent(progress: StageProgress) -> None:
    """Report to nobody."""


Spent = Callable[[], float]
"""The share of the time allowed for something that is gone; 1 and more: it is to end."""


def untimed() -> float:
    """``Spent`` of what may take as long as it takes."""
    return 0.0


@dataclass
class Stopwatch:
    """Wall seconds of each stage, announced to ``report`` as it begins; ``clock`` reads seconds."""

    report: Report = silent
    start: float | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._start = self.clock() if self.start is None else self.start

    @contextmanager
    def stage(self, name: str, note: str = "") -> Iterator[None]:
        self.report(StageProgress(name, note=note))
        began = self.clock()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + self.clock() - began

    @property
    def elapsed(self) -> float:
        return self.clock() - self._start

    def allowance(self, seconds: float | None) -> Spent:
        """Spending of ``seconds`` from now on; None allows any time."""
        if seconds is None:
            return untimed
        began, allowed = self.clock(), max(seconds, 1e-9)
        return lambda: (self.clock() - began) / allowed
