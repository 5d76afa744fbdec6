"""Text files that a person gives: read whole, within a limit on their size, or one sentence why not."""

from __future__ import annotations

from pathlib import Path

from boltzgen.errors import InputError

BYTES_PER_MEGABYTE = 1_000_000


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
