"""A process that computes energies with OpenMM, and a conversation with it that never waits for ever."""

from __future__ import annotations

import os
import selectors
import socket
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO

from boltzgen.errors import EvaluationError

_WORKER = Path(__file__).with_name("worker.py")
_LENGTH = struct.Struct("<q")  # precedes every message
_PIECE = 2**20  # bytes moved at once
_GOODBYE = 10.0  # seconds that an ended process has to be collected
_LAST_WORDS = 4096  # bytes


def _search_path() -> str:
    """This package, which a calculator's worker imports, and what else Python looks through."""
    return os.pathsep.join(filter(None, [str(_WORKER.parents[3]), os.environ.get("PYTHONPATH")]))


class WorkerProcess:
    """One process and the socket to it, which neither sending nor receiving ever blocks.

    ``ask`` queues a question; ``move`` sends and receives what can be moved now. Raises EvaluationError.
    """

    def __init__(self, xml: str) -> None:
        self.socket, theirs = socket.socketpair()
        self.socket.setblocking(False)
        self.log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        # as a file of its own (-P: without its folder on the path), so that it need not import torch
        command = [sys.executable, "-P", str(_WORKER), str(theirs.fileno())]
        try:
            self.process = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stderr=self.log,
                env={
                    **os.environ,
                    "PYTHONPATH": _search_path(),
                    "OMP_NUM_THREADS": "1",
                    "OPENMM_CPU_THREADS": "1",
                },
            )
        except OSError as error:
            self.close()
            raise EvaluationError(f"an OpenMM worker could not be started: {error}") from error
        finally:
            theirs.close()
        self._outgoing, self._incoming = bytearray(), bytearray()
        self.ask(xml.encode())

    def ask(self, message: bytes) -> None:
        """Queue a message; ``move`` sends it.

        Parameters
        ----------
        message
            A question without its length.
        """
        self._outgoing += _LENGTH.pack(len(message)) + message

    @property
    def events(self) -> int:
        """What to wait for before the next ``move``."""
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if self._outgoing else 0)

    def move(self) -> bytes | None:
        """Move bytes both ways without waiting.

        Returns
        -------
        bytes or None
            The answer once it is whole, else None.

        Raises
        ------
        EvaluationError
            Where the process has died, or answers that it could not compute an energy.
        """
        try:
            if self._outgoing:
                del self._outgoing[: self.socket.send(self._outgoing[:_PIECE])]
        except BlockingIOError:
            pass  # its buffer is full: later
        except OSError as error:
            raise self._died() from error
        try:
            piece = self.socket.recv(_PIECE)
        except BlockingIOError:
            return None
        except OSError as error:
            raise self._died() from error
        if not piece:
            raise self._died()
        self._incoming += piece
        if len(self._incoming) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._incoming)
        if len(self._incoming) < _LENGTH.size + length:
            return None
        answer = bytes(self._incoming[_LENGTH.size :])
        self._incoming.clear()
        if answer[:1] != b"=":
            raise EvaluationError(f"OpenMM could not compute an energy: {answer[1:].decode()}")
        return answer

    def _died(self) -> EvaluationError:
        try:
            code = f"with exit code {self.process.wait(_GOODBYE)}"
        except subprocess.TimeoutExpired:
            code = "without an exit code"
        return EvaluationError(f"an OpenMM worker died {code}: {self._last_words()}")

    def _last_words(self) -> str:
        """The end of what it wrote to standard error."""
        # by position: the process shares the file's offset
        size = os.fstat(self.log.fileno()).st_size
        text = os.pread(self.log.fileno(), _LAST_WORDS, max(0, size - _LAST_WORDS))
        lines = text.decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    def close(self) -> None:
        """Lets go of the files; the process ends when no one holds the other end."""
        self.socket.close()
        self.log.close()

    def stop(self) -> None:
        """Ends the process, whatever it is doing."""
        self.close()
        self.process.kill()
        try:
            self.process.wait(_GOODBYE)
        except subprocess.TimeoutExpired:
            return  # stuck in the kernel: it goes when that lets go of it
