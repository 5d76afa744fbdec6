"""The folder that keeps compiled libraries, and whether what lies in it may be loaded.

Loading a library runs it. A folder or a library that another user owns or can write is therefore refused,
and the name of a library contains a hash of its content, so that a damaged file is recognised before it is
loaded.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import stat
import tempfile
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def cache_folder() -> Path:
    """Folder for compiled libraries, which only this user can change.

    ``$BOLTZGEN_CACHE``, else ``boltzgen`` in the user's cache folder. Where that cannot be written, or other
    users can write it, a private temporary folder takes its place until the process ends; the latter is
    said once.
    """
    base = os.environ.get("BOLTZGEN_CACHE")
    folder = (
        Path(base) if base else Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "boltzgen"
    )
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = folder.resolve()
        if not os.access(folder, os.W_OK):
            return _temporary_folder()
        reason = _distrusted_folder(folder)
    except OSError:
        return _temporary_folder()  # a read-only home: the libraries then live as long as the process
    if reason is None:
        return folder
    _say_once(f"compiled code is not kept in {folder}: {reason}; a temporary folder is used instead")
    return _temporary_folder()


def library_path(folder: Path, source_hash: str, content: bytes, suffix: str = ".so") -> Path:
    """Where a library with this content is kept.

    Parameters
    ----------
    folder
        Folder of the compiled libraries.
    source_hash
        Hash of the source and of what else decides what the compiler makes.
    content
        The library.
    suffix
        End of the file's name.

    Returns
    -------
    Path
        A path whose name contains a hash of the content, by which ``check_library`` finds damage.
    """
    return folder / f"kernel-{source_hash}-{_content_hash(content)}{suffix}"


def find_library(folder: Path, source_hash: str, suffix: str = ".so") -> Path | None:
    """Look for a library that was made of a source.

    Parameters
    ----------
    folder
        Folder of the compiled libraries.
    source_hash
        Hash of the source, as given to ``library_path``.
    suffix
        End of the file's name.

    Returns
    -------
    Path or None
        The library, not checked yet; None where there is none.
    """
    return next(iter(sorted(folder.glob(f"kernel-{source_hash}-*{suffix}"))), None)


def check_library(path: Path) -> None:
    """Check that a library is whole and that only this user can have written it.

    Parameters
    ----------
    path
        A path that ``library_path`` made.

    Raises
    ------
    OSError
        Where it is not, or where the file cannot be read.
    """
    if (reason := _distrusted(path.lstat(), stat.S_ISREG)) is not None:
        raise OSError(f"{path} is refused: {reason}")
    if not path.stem.endswith(f"-{_content_hash(path.read_bytes())}"):
        raise OSError(f"{path} is damaged: its content is not what its name says")


def _content_hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]


def _distrusted_folder(folder: Path) -> str | None:
    """Why a folder could hold what another user put there; None where it cannot."""
    if (reason := _distrusted(folder.stat(), stat.S_ISDIR)) is not None:
        return reason
    for parent in folder.parents:
        mode = parent.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            return (
                f"every user can rename what lies in {parent} (chmod o-w, or choose another BOLTZGEN_CACHE)"
            )
    return None


def _distrusted(status: os.stat_result, is_kind: Callable[[int], bool]) -> str | None:
    if not is_kind(status.st_mode):
        return "it is of another kind than expected, such as a symbolic link"
    if not hasattr(os, "geteuid"):
        return None  # Windows keeps the folders of users apart by itself
    if status.st_uid != os.geteuid():
        return f"it belongs to another user (uid {status.st_uid})"
    if status.st_mode & _OTHERS_WRITE:
        return "other users can write it (chmod go-w takes that right away)"
    return None


@cache
def _say_once(text: str) -> None:
    warnings.warn(text, stacklevel=4)


@cache
def _temporary_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="boltzgen-"))  # readable and writable by this user alone
    atexit.register(_remove, folder, os.getpid())
    return folder


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # not at the end of a forked child
        shutil.rmtree(folder, ignore_errors=True)
