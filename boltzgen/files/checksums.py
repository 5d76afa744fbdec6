"""``SHA256SUMS`` of a folder, in the format that ``sha256sum -c SHA256SUMS`` checks as well."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from boltzgen.errors import InputError
from boltzgen.files.whole import write_whole

SUMS = "SHA256SUMS"


def write_checksums(folder: Path, names: Iterable[str], texts: Mapping[str, str] | None = None) -> None:
    """Write the checksums of those files ``names`` of ``folder`` that are there.

    ``texts``: of files by name that are yet to be written.
    """
    sums = {name: _sha256(folder / name) for name in names if (folder / name).is_file()}
    sums |= {name: hashlib.sha256(text.encode()).hexdigest() for name, text in (texts or {}).items()}
    lines = [f"{digest}  {name}\n" for name, digest in sums.items()]
    write_whole(folder / SUMS, lambda path: path.write_text("".join(lines)))


def require_checksums(folder: Path, names: Iterable[str]) -> None:
    """Raises InputError where one of the files ``names`` is not what ``SHA256SUMS`` says.

    A folder without ``SHA256SUMS`` and a file that is not listed there pass.
    """
    path = folder / SUMS
    if not path.is_file():
        return
    try:
        lines = [line.split(maxsplit=1) for line in path.read_text().splitlines() if line.strip()]
        listed = {name.lstrip("*"): digest for digest, name in lines}
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is damaged ({error}): restore it or run again.") from error
    for name in names:
        if name in listed and _sha256(folder / name) != listed[name]:
            raise InputError(
                f"{folder / name} is damaged or of another run, as its checksum is not that in {SUMS}:"
                " restore it or run again."
            )


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from error
