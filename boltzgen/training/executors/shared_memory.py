"""Tensors in memory that several processes share."""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

_ALIGNMENT = 64  # bytes


class SharedTensors:
    """Tensors shaped like others, in a file without a name that goes with the last process that holds it.

    ``SharedTensors(like)`` makes it; another process that was given the ``descriptor`` maps it by
    ``SharedTensors(like, descriptor)``.
    """

    def __init__(self, like: Sequence[Tensor], descriptor: int | None = None) -> None:
        sizes = [-(-t.numel() * t.element_size() // _ALIGNMENT) * _ALIGNMENT for t in like]
        length = max(sum(sizes), 1)
        self.descriptor = _anonymous_file(length) if descriptor is None else descriptor
        memory = mmap.mmap(self.descriptor, length)
        starts = np.cumsum([0, *sizes])
        self.tensors = [
            torch.frombuffer(memory, dtype=t.dtype, count=t.numel(), offset=int(start)).view(t.shape)
            if t.numel()
            else torch.empty_like(t)
            for t, start in zip(like, starts, strict=False)
        ]

    def close(self) -> None:
        """Gives the descriptor back; the tensors stay as long as anything refers to them."""
        os.close(self.descriptor)


def _anonymous_file(length: int) -> int:
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("boltzgen")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.truncate(descriptor, length)
    return descriptor
