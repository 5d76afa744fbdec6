"""Errors that a person can act on."""

from typing import Any


class InputError(ValueError):
    """Input that cannot be used: one sentence that names it and says what to do (exit code 2)."""


class EvaluationError(RuntimeError):
    """A computation that failed through no fault of the input: a dead worker, a lost device (exit code 1)."""


class NotConvergedError(RuntimeError):
    """A run whose results mean nothing at all: one sentence that says why (exit code 3)."""


class UnsavedResultsError(EvaluationError):
    """Results that could not be written anywhere; ``ensemble`` has them."""

    def __init__(self, message: str, ensemble: Any) -> None:
        super().__init__(message)
        self.ensemble = ensemble
