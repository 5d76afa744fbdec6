"""What an energy is a sum of."""

from __future__ import annotations

from typing import ClassVar, Protocol

import torch
from torch import Tensor


class Term(Protocol):
    """One force: evaluated with torch anywhere, or printed as C++ with the data that its kernel reads."""

    name: str
    kind: ClassVar[str]

    def energy_and_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Energy [batch] in kJ/mol and gradient [3, atoms, batch] of positions [3, atoms, batch] in nm."""

    def native_source(self, dtype: torch.dtype) -> str:
        """C++ that defines ``run`` for this precision."""

    def native_data(self, dtype: torch.dtype) -> tuple[int, Tensor, Tensor, Tensor]:
        """Count of what the kernel walks over, int32 indices, parameters in this precision, tables."""
