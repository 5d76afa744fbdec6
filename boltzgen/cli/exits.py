"""Exit codes, and how an error is told: in one sentence on standard error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from rich.console import Console

EXIT_FAULT, EXIT_BAD_INPUT, EXIT_NOT_CONVERGED, EXIT_REPLICA_EXCHANGE = 1, 2, 3, 4

TOO_LITTLE_MEMORY = (
    "there is too little memory for this run: give fewer samples (-n) or use a machine with more"
)

errors = Console(stderr=True)


def end(error: BaseException, code: int, notes: Sequence[str] = ()) -> NoReturn:
    """Print ``error`` with ``notes`` as sentences on one line, and exit with ``code``."""
    text = ". ".join([f"boltzgen: {error}", *notes]).replace("\n", "\\n")  # of a file's name
    errors.print(text, markup=False, highlight=False, soft_wrap=True)
    raise SystemExit(code) from None
