"""What became of the steps of a training, where the host does not wait for a device to know it."""

from __future__ import annotations

import torch
from torch import Tensor


class Outcomes:
    """Whether each step was sound and how many samples it dropped, on the device until somebody asks."""

    def __init__(self) -> None:
        self._pending: list[Tensor] = []

    def add(self, sound: Tensor, n_dropped: int | Tensor) -> None:
        """One more step: a scalar truth value and a count, on the device."""
        count = torch.as_tensor(n_dropped, device=sound.device)
        self._pending.append(torch.stack([sound.to(torch.int64), count.to(torch.int64)]))

    def read(self) -> list[tuple[bool, int]]:
        """The steps since the last time, waiting for the device to have made them."""
        steps = torch.stack(self._pending).tolist() if self._pending else []
        self._pending = []
        return [(bool(sound), n_dropped) for sound, n_dropped in steps]
