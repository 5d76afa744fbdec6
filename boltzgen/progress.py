"""What a running workflow tells whoever watches, and how long each of its stages took."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class StageProgress:
    """``fraction`` of the stage that is done, seconds left of it, each where known; a note in a few words.

    warning: a sentence about something that does not end the run.
    """

    stage: str
    fraction: float | None = None
    seconds_left: float | None = None
    note: str = ""
    warning: str = ""


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
    """Wall seconds of each stage, announced to ``report`` as it begins; those of earlier sessions included.

    clock: reads seconds. warnings: what does not end the run, in sentences, each once.
    """

    report: Report = silent
    start: float | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    clock: Callable[[], float] = time.monotonic
    warnings: list[str] = field(default_factory=list)
    _running: tuple[str, float] | None = None

    def __post_init__(self) -> None:
        self._own_start = self.clock()
        self._start = self._own_start if self.start is None else self.start

    @contextmanager
    def stage(self, name: str, note: str = "") -> Iterator[None]:
        self.report(StageProgress(name, note=note))
        self._running = (name, self.clock())
        try:
            yield
        finally:
            self.seconds = self._seconds_so_far()
            self._running = None

    @property
    def elapsed(self) -> float:
        return self.clock() - self._start

    def allowance(self, seconds: float | None) -> Spent:
        """Spending of ``seconds`` from now on; None allows any time."""
        if seconds is None:
            return untimed
        began, allowed = self.clock(), max(seconds, 1e-9)
        return lambda: (self.clock() - began) / allowed

    def warn(self, sentence: str) -> None:
        """Tell ``report``, and keep for the summary."""
        if sentence not in self.warnings:
            self.warnings.append(sentence)
            self.report(StageProgress(self._running[0] if self._running else "", warning=sentence))

    def state_dict(self) -> dict[str, Any]:
        """The seconds so far, and the warnings."""
        return {
            "elapsed": self.elapsed,
            "seconds": self._seconds_so_far(),
            "warnings": list(self.warnings),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Count what an earlier session took, as ``state_dict`` told, besides what this one has taken."""
        self._start = self._own_start - state["elapsed"]
        self.seconds = dict(state["seconds"])
        self.warnings += [warning for warning in state["warnings"] if warning not in self.warnings]

    def _seconds_so_far(self) -> dict[str, float]:
        if self._running is None:
            return dict(self.seconds)
        name, began = self._running
        return self.seconds | {name: self.seconds.get(name, 0.0) + self.clock() - began}
