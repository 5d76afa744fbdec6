"""What an energy is a sum of."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor


@runtime_checkable
class Term(Protocol):
    """One force, evaluated on any device and in any precision."""

    name: str
    kind: ClassVar[str]

    def energy_and_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Energy [batch] in kJ/mol and gradient [3, atoms, batch] of positions [3, atoms, batch] in nm."""

    def state(self) -> dict[str, Any]:
        """All it takes to build the term again, as numbers, strings and tensors."""


@runtime_checkable
class NativeTerm(Term, Protocol):
    """A term that can also be printed as C++, with the data that its kernel reads."""

    def native_source(self, dtype: torch.dtype) -> str:
        """C++ that defines ``run`` for this precision."""

    def native_data(self, dtype: torch.dtype) -> tuple[int, Tensor, Tensor, Tensor]:
        """Count of what the kernel walks over, int32 indices, parameters in this precision, tables."""

    def check_atoms(self, n_atoms: int) -> None:
        """InputError where the term is not one of a molecule of ``n_atoms``: kernels trust its indices."""
