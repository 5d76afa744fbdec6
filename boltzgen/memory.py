"""How much memory this process may use: of the machine, or of its container."""

from __future__ import annotations

import os
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
LIMITS = ("memory.max", "memory/memory.limit_in_bytes")  # cgroups version 2 and 1


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
