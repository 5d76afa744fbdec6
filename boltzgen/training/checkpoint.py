"""A training cut short goes on where it was: its whole state in a file, written every so often.

Parameters, optimiser, averages, random numbers, clock and history are kept, so that a resumed run of fixed
steps ends with the parameters of one that was never cut. So is what an objective keeps beside the model:
walkers, a buffer, a round of annealing. Two states are kept, the last and the one before: where the last is
damaged, training goes on from the other.
"""

from __future__ import annotations

import hashlib
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from boltzgen.errors import InputError
from boltzgen.files.tensors import load_tensors, save_tensors

KIND = "boltzgen checkpoint 3"
SECONDS_BETWEEN, LEAST_SECONDS_BETWEEN = 60.0, 10.0
SHARE_BETWEEN = 0.05


def fingerprint(model: nn.Module, frames: Tensor) -> str:
    """Of what training starts from: the shapes of the model's parameters, and the frames.

    The parameters' first values are not in it, since a training that goes on does not use them.
    """
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(value.shape)}\n".encode())
    digest.update(frames.detach().cpu().contiguous().numpy().data)
    return digest.hexdigest()


def earlier_path(path: Path) -> Path:
    """Where the state before the one at ``path`` is kept."""
    return path.with_stem(f"{path.stem}-earlier")


class Stateful(Protocol):
    """What has a state of tensors, numbers and text."""

    def state_dict(self) -> dict[str, Any]:
        """All that ``load_state_dict`` needs."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state_dict`` returned."""


class Checkpoints:
    """The states of one training: the last at ``path``, and the one before beside it.

    Parameters
    ----------
    path
        The file of the last state.
    generator
        The one that training draws from; its state is kept with torch's own.
    origin
        The fingerprint of what training starts from; a state of another origin is left alone.
    warn
        Is told, in a sentence, what could not be written or read. Training does not end for that.
    beside
        What else is kept by name, and set back: objects with ``state_dict`` and ``load_state_dict``.
    guard
        Is called before each writing, and raises where this run must not write any more.
    """

    def __init__(
        self,
        path: Path,
        generator: torch.Generator,
        origin: str,
        warn: Callable[[str], None] = warnings.warn,
        beside: Mapping[str, Stateful] | None = None,
        guard: Callable[[], None] = lambda: None,
    ) -> None:
        self.path, self.earlier = path, earlier_path(path)
        self.generator, self.origin, self.warn, self.guard = generator, origin, warn, guard
        self.beside = dict(beside or {})
        self.written, self.used = time.monotonic(), 0.0

    def due(self, used: float) -> bool:
        """After a minute, or a twentieth of the training that took ten seconds; ``used``: fraction done."""
        since = time.monotonic() - self.written
        return since > SECONDS_BETWEEN or (since > LEAST_SECONDS_BETWEEN and used - self.used > SHARE_BETWEEN)

    def write(self, used: float, state: Mapping[str, Any]) -> bool:
        """Whether ``state``, as ``save_tensors`` takes it, was written; a full disk is told to ``warn``."""
        self.guard()
        whole = {
            "origin": self.origin,
            "generator": self.generator.get_state(),
            "torch": torch.get_rng_state(),
            "state": state,
            "beside": {name: one.state_dict() for name, one in self.beside.items()},
        }
        self.written, self.used = time.monotonic(), used
        try:
            if self.path.exists():
                self.path.replace(self.earlier)
            save_tensors(self.path, whole, KIND)
        except OSError as error:
            self.warn(f"no checkpoint could be written to {self.path.parent} ({error.strerror})")
            return False
        return True

    def read(self) -> dict[str, Any] | None:
        """The state last written, random numbers set back to it, or None where there is none.

        A damaged file, and one of a training that started from something else, are told to ``warn`` and
        removed.
        """
        for path in (self.path, self.earlier):
            if not path.exists():
                continue
            try:
                whole = load_tensors(path, KIND)
            except InputError as error:
                self.warn(f"a checkpoint is of no use: {error}")
                path.unlink()
                continue
            if whole["origin"] != self.origin:
                self.warn(f"{path} is of no use: it is of a training that started from other frames")
                path.unlink()
                continue
            self.generator.set_state(whole["generator"])
            torch.set_rng_state(whole["torch"])
            for name, one in self.beside.items():
                one.load_state_dict(whole["beside"][name])
            return whole["state"]
        return None
