"""How much memory this process may use, of the machine or of its container, and when it had too little."""

from __future__ import annotations

import errno
import os
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
LIMITS = ("memory.max", "memory/memory.limit_in_bytes")  # cgroups version 2 and 1


# What allocators of torch, C++ and the loader of libraries say; they have no error class in common.
SHORTAGES = (
    "can't allocate memory",
    "out of memory",
    "bad_alloc",
    "Cannot allocate memory",
    "failed to map",
    "can't start new thread",  # no room for its stack
)


def is_shortage(error: BaseException) -> bool:
    """Whether ``error`` says that there was too little memory.

    >>> is_shortage(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"))
    True
    """
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    return isinstance(error, RuntimeError | ImportError) and any(said in str(error) for said in SHORTAGES)


def usable_bytes(cgroups: Path = CGROUPS) -> int | None:
    """Bytes of memory, None where the system does not say."""
    known = [] if (machine := _machine_bytes()) is None else [machine]
    for name in LIMITS:
        try:
            text = (cgroups / name).read_text().strip()
        except OSError:
            continue
        known += [int(text)] if text.isdigit() else []
    return min(known, default=None)


def _machine_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None
