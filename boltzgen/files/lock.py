"""One process at a time at a task or in a folder, on file systems that several machines share too.

A lease is a file that is made by an operation in which only one of several processes succeeds (``O_EXCL``,
atomic on local disks, NFS from version 3, and Lustre). It says who holds it. The holder renews the file's
time; a lease whose holder has ended on this machine, or that nobody has renewed for ``LEASE`` seconds, is
stale and taken over. The lock of a folder is the lease ``.lock`` in it.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import uuid
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from boltzgen.errors import EvaluationError, InputError

LOCK = ".lock"
LEASE, BEAT = 180.0, 20.0  # seconds
_ATTEMPTS = 5


class FolderInUseError(InputError):
    """Another run writes in the folder."""


class Lease:
    """The right to what the file at ``path`` stands for, as long as this process renews it.

    ``other``: what the holder that ``acquire`` found says of itself. ``lost``: whether another
    process has taken the lease over, as this one was suspended for longer than ``LEASE``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.token = uuid.uuid4().hex
        self.lost = False
        self.other: dict[str, Any] | None = None
        self._ended = threading.Event()
        self._owner = 0

    def acquire(self) -> bool:
        """Whether this process has the lease now; False where another one has it.

        Raises OSError where the file cannot be made.
        """
        for _ in range(_ATTEMPTS):
            if self._made():
                self._owner = os.getpid()
                threading.Thread(target=self._renew, name="lease renewal", daemon=True).start()
                return True
            holder = _holder(self.path)
            if holder is not None and not _is_stale(self.path, holder):
                self.other = holder
                return False
            if holder is not None:
                self._set_aside(holder)
        return False

    def release(self) -> None:
        """Give the lease back; in a forked child, whose parent has it, nothing happens."""
        if os.getpid() != self._owner:
            return
        self._ended.set()
        holder = _holder(self.path)
        if holder is not None and holder.get("token") == self.token:
            self.path.unlink(missing_ok=True)

    def _made(self) -> bool:
        """Whether this process has made the file, and with it has the lease."""
        try:
            descriptor = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError:
            return False
        with os.fdopen(descriptor, "w") as stream:
            json.dump({"token": self.token, **_self()}, stream)
        return True

    def _set_aside(self, stale: dict[str, Any]) -> None:
        """Remove the ``stale`` file, and no other that was made in the meantime."""
        aside = self.path.with_name(f"{LOCK}-{self.token}")
        try:
            self.path.rename(aside)
        except FileNotFoundError:
            return  # somebody else was faster
        moved = _holder(aside)
        if moved is not None and moved.get("token") != stale.get("token"):
            with suppress(FileExistsError):  # then its holder finds out when it renews
                os.link(aside, self.path)
        aside.unlink(missing_ok=True)

    def _renew(self) -> None:
        while not self._ended.wait(BEAT):
            holder = _holder(self.path)
            if holder is None or holder.get("token") != self.token:
                self.lost = not self._ended.is_set()
                return
            with suppress(OSError):
                os.utime(self.path)


class FolderLock:
    """The right to write in ``folder``, which is made where it is not there; a context manager.

    Entering raises FolderInUseError while another run holds the lock, and InputError where the folder cannot
    be used; leaving gives it back. A process that was suspended for longer than the lease may lose its lock;
    ``require_held`` tells.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.lease = folder, Lease(folder / LOCK)

    def __enter__(self) -> FolderLock:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"{self.folder} cannot be used ({error.strerror}); choose another folder."
            ) from error
        try:
            held = self.lease.acquire()
        except OSError as error:
            raise InputError(
                f"{self.folder} cannot be written to ({error.strerror}); choose another folder."
            ) from error
        other = self.lease.other
        if not held and other is not None:
            raise FolderInUseError(
                f"{self.folder} is in use by another run (process {other.get('pid')} on"
                f" {other.get('host')}): wait for its end, or give another folder."
            )
        if not held:
            raise FolderInUseError(
                f"{self.folder} is wanted by several runs at once: give each its own folder."
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.lease.release()

    def require_held(self) -> None:
        """Raises EvaluationError where another run has taken the lock over."""
        if self.lease.lost:
            raise EvaluationError(
                f"another run took {self.folder} over, as this one gave no sign for {LEASE:g} s: nothing"
                " more is written there"
            )


def _self() -> dict[str, Any]:
    """Who this process is: a machine, and one of its processes by number and time of its start."""
    return {
        "host": socket.gethostname(),
        "machine": _machine(),
        "pid": os.getpid(),
        "started": _start_time(os.getpid()),
    }


def _machine() -> str:
    """The same for all processes that see each other's numbers: a boot of a machine, or a container there."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{socket.gethostname()} {boot} {os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return socket.gethostname()


def _start_time(pid: int) -> str | None:
    """When the process began, in clock ticks since the boot; None where that cannot be known.

    A process that has ended and that nobody has waited for (state Z) began never.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "never" if fields[0] == "Z" else fields[19]
    except (OSError, IndexError):
        return None


def _holder(path: Path) -> dict[str, Any] | None:
    """What the lock says of its holder, nothing while that is being written; None where there is no lock."""
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _is_stale(path: Path, holder: dict[str, Any]) -> bool:
    pid = holder.get("pid")
    if isinstance(pid, int) and holder.get("machine") == _machine():
        return not _runs(pid, holder.get("started"))
    return _age(path) > LEASE


def _runs(pid: int, started: str | None) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # another user's, but there
    now = _start_time(pid)
    return started is None or now is None or now == started


def _age(path: Path) -> float:
    """Seconds since the lock was renewed, by the clock of the file system, which all machines share."""
    probe = path.with_name(f"{LOCK}-time-{uuid.uuid4().hex}")
    try:
        probe.touch()
        return probe.stat().st_mtime - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0  # released just now: try again
    finally:
        probe.unlink(missing_ok=True)
