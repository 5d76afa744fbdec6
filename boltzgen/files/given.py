"""Text and arrays of files that a person gives: read whole, or one sentence why not."""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from pathlib import Path

import numpy as np

from boltzgen.errors import InputError

BYTES_PER_MEGABYTE = 1_000_000
# What numpy and zipfile raise for damaged files; numpy reads an array's header with Python's own parser.
_DAMAGED = (
    OSError,
    ValueError,
    EOFError,
    KeyError,
    TypeError,
    SyntaxError,
    NotImplementedError,
    RuntimeError,
    OverflowError,
    MemoryError,
    RecursionError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


def read_text(path: str | Path, most_megabytes: float) -> str:
    """The text of a UTF-8 file of at most ``most_megabytes``.

    Raises
    ------
    InputError
        Where there is no such file, it cannot be read, is larger, or holds something else than text.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise InputError(f"There is no file '{path}'.")
        size = path.stat().st_size / BYTES_PER_MEGABYTE
        if size > most_megabytes:
            raise InputError(
                f"'{path}' has {size:.3g} MB, but at most {most_megabytes:g} MB of such a file are read:"
                " give a smaller one."
            )
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"'{path}' cannot be read: it holds something else than text.") from error
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"'{path}' cannot be read: {error}.") from error


def read_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays of a .npz file by name, or that of a .npy file by the name "positions".

    What a file is is told by its content. No pickled object is read.

    Raises
    ------
    InputError
        Where the file cannot be read.
    """
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {"positions": loaded}
        with loaded:
            return {name: loaded[name] for name in loaded.files}
    except _DAMAGED as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"'{path}' cannot be read as an array: {reason[:200]}.") from error
