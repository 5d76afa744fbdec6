"""Files that appear whole or not at all: they are written beside their place and moved there."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from boltzgen.errors import InputError

_PARTIAL = ".partial-"


def write_whole(path: Path, write: Callable[[Path], Any]) -> None:
    """Let ``write`` fill a temporary file of the same suffix beside ``path``, then move it there.

    The content is on the disk before the file has its name, so that a power failure leaves the old file or
    the new one. Raises OSError where ``write`` or the disk does.
    """
    partial = path.with_name(f"{_PARTIAL}{os.getpid()}-{path.name}")
    try:
        write(partial)
        with partial.open("rb+") as written:
            os.fsync(written.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def remove_partials(folder: Path) -> None:
    """Remove the temporary files of writers that were killed; no other writer may be at work there."""
    for partial in folder.glob(f"{_PARTIAL}*"):
        partial.unlink(missing_ok=True)


def json_text(content: Mapping[str, Any]) -> str:
    """``content`` as JSON; numbers that are not finite become null, which every reader understands.

    >>> json_text({"ess": float("nan")})
    '{\\n  "ess": null\\n}\\n'
    """
    return json.dumps(_finite(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in ``path``. Raises InputError where it cannot be read or is no object."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged ({error}): restore it or run again.") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} is damaged (it holds no JSON object): restore it or run again.")
    return content


def _finite(value: Any) -> Any:
    """JSON types only: numpy scalars become Python's, non-finite numbers None."""
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return _finite(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
