"""Tabulated functions of custom forces, interpolated as OpenMM does."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Table:
    """A tabulated function of ``dimension`` arguments."""

    dimension: int

    def evaluate(self, arguments: tuple[Tensor | float, ...], orders: tuple[int, ...]) -> Tensor:
        raise NotImplementedError
