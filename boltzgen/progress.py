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


@dataclass
class Stopwatch:
    """Wall seconds of each stage, announced to ``report`` as it begins."""

    report: Report = silent
    start: float = field(default_factory=time.monotonic)
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str, note: str = "") -> Iterator[None]:
        self.report(StageProgress(name, note=note))
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - began

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.start
