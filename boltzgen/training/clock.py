"""How much of the budget is used: by wall time, or by steps where a number of steps is fixed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from boltzgen.errors import InputError
from boltzgen.training.config import TrainingConfig


@dataclass(frozen=True)
class Reserve:
    """Seconds that training leaves unused where its ESS share at half-time is below ``ess_fraction``."""

    seconds: float
    ess_fraction: float


class Clock:
    """The fraction of the budget that is used. Raises InputError where the budget has no end."""

    def __init__(self, config: TrainingConfig) -> None:
        self.start = time.monotonic()
        if config.max_steps is None and config.budget_seconds is None:
            raise InputError("Training needs an end; give budget_seconds or max_steps.")
        self.total = float(config.max_steps or config.budget_seconds or 0.0)
        self.by_steps = config.max_steps is not None

    @property
    def elapsed(self) -> float:
        """Wall seconds, those before a resumption included."""
        return time.monotonic() - self.start

    def used(self, step: int) -> float:
        """Fraction of the budget used after ``step`` steps."""
        spent = step if self.by_steps else self.elapsed
        return min(spent / self.total, 1.0)

    def seconds_left(self, step: int) -> float:
        """Wall seconds to the end, estimated where the budget is one of steps."""
        elapsed, used = self.elapsed, self.used(step)
        return elapsed * (1.0 - used) / max(used, 1e-9) if self.by_steps else self.total - elapsed

    def leave(self, seconds: float) -> None:
        """Make the budget shorter by ``seconds``, where it is one of wall time."""
        if not self.by_steps:
            self.total = max(self.total - seconds, 1e-3)

    def shorten(self, used: float, remaining: float) -> None:
        """Make ``remaining`` of the original budget the rest of it, counted from the fraction ``used``."""
        self.total = self.total * min(1.0, used + remaining)

    def state_dict(self) -> dict[str, Any]:
        """Seconds elapsed, and the budget as it now is."""
        return {"elapsed": self.elapsed, "total": self.total}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what ``state_dict`` returned."""
        self.start = time.monotonic() - state["elapsed"]
        self.total = state["total"]
