"""A training cut short goes on where it was: its whole state in one file, written every so often.

Parameters, optimiser, averages, random numbers, clock and history are kept, so that a resumed run of fixed
steps ends with the parameters of one that was never cut. So is what an objective keeps beside the
model: walkers, a buffer, a round of annealing.
"""

from __future__ import annotations

import hashlib
import os
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from boltzgen.errors import InputError

SECONDS_BETWEEN, LEAST_SECONDS_BETWEEN = 60.0, 10.0
SHARE_BETWEEN = 0.05


def fingerprint(model: nn.Module, frames: Tensor) -> str:
    """Of everything that training starts from: the model as built, with its coordinates, and the frames."""
    digest = hashlib.sha256()
    for name, value in [*sorted(model.state_dict().items()), ("frames", frames)]:
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


class Checkpoints:
    """The checkpoint of one training, at ``path``.

    generator: the one that training draws from; its state is kept with torch's own. origin: the fingerprint
    of what training starts from; a checkpoint of another origin is refused.
    """

    def __init__(self, path: Path, generator: torch.Generator, origin: str) -> None:
        self.path, self.generator, self.origin = path, generator, origin
        self.written, self.used = time.monotonic(), 0.0

    def due(self, used: float) -> bool:
        """After a minute, or a twentieth of the training that took ten seconds; ``used``: fraction done."""
        since = time.monotonic() - self.written
        return since > SECONDS_BETWEEN or (since > LEAST_SECONDS_BETWEEN and used - self.used > SHARE_BETWEEN)

    def write(self, used: float, state: Mapping[str, Any]) -> None:
        """``state`` of tensors, numbers, strings, lists and dictionaries; whole or not at all."""
        whole = {
            "origin": self.origin,
            "generator": self.generator.get_state(),
            "torch": torch.get_rng_state(),
            **state,
        }
        partial = self.path.with_name(f".{os.getpid()}-{self.path.name}")
        try:
            torch.save(whole, partial)
            partial.replace(self.path)
        finally:
            partial.unlink(missing_ok=True)
        self.written, self.used = time.monotonic(), used

    def read(self) -> dict[str, Any] | None:
        """The state last written, random numbers set back to it, or None where there is none yet.

        Raises InputError where the file is damaged, or training started from something else.
        """
        if not self.path.exists():
            return None
        if not zipfile.is_zipfile(self.path):
            raise InputError(
                f"{self.path} is no checkpoint of a training: remove it to train from the start."
            )
        state: dict[str, Any] = torch.load(self.path, map_location="cpu", weights_only=True)
        if state["origin"] != self.origin:
            raise InputError(
                f"{self.path} is of a training that started from other frames or another model (another"
                " machine or version gives others): remove it to train from the start."
            )
        self.generator.set_state(state["generator"])
        torch.set_rng_state(state["torch"])
        return state
