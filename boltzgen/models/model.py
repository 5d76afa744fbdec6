"""What generative models promise: three kinds, told apart by what is known of their density.

Every model works on a molecule's internal coordinates (``coordinates``), which hold its stereochemistry, and
none has coordinates of its own. A new model is a class of one of the three kinds in a file of its own and a
line in ``training/families.py``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from pydantic import BaseModel
from torch import Tensor, nn

if TYPE_CHECKING:
    from boltzgen.coordinates.internal import MolecularCoordinates


class Internal(NamedTuple):
    """Torsions on the circle [batch, n_torsions], stiff coordinates [batch, n_stiff]; latent or molecular."""

    torsions: Tensor
    stiff: Tensor


@runtime_checkable
class HasParameters(Protocol):
    """A module, or what stands for one."""

    def parameters(self) -> Iterator[nn.Parameter]: ...


@contextmanager
def fixed_parameters(model: HasParameters) -> Iterator[None]:
    """Gradients flow to latent points alone, not to the model's parameters."""
    training = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in training:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in training:
            parameter.requires_grad_(True)


class GenerativeModel(nn.Module, ABC):
    """Generates conformations with their exact log density.

    log q is stated in the measure of ``coordinates/internal.py``: positions with rigid motion divided out,
    over all labellings of equivalent rotor substituents.
    """

    coordinates: MolecularCoordinates
    config: BaseModel

    @abstractmethod
    def sample_with_log_prob(
        self, n: int, generator: torch.Generator | None = None
    ) -> tuple[Float[Tensor, "batch atoms 3"], Float[Tensor, " batch"]]:
        """``n`` positions in nm and their log q."""

    @abstractmethod
    def log_prob(self, x: Float[Tensor, "batch atoms 3"]) -> Float[Tensor, " batch"]:
        """log q of positions in nm."""


class LatentVariableModel(nn.Module, ABC):
    """Generates (x, z) with an auxiliary r(z|x): exact importance weights on the extended space.

    log g = log p(z) + log p(x|z) − log r(z|x), stated in the measure of ``coordinates/internal.py``, stands
    where a density would: weights exp(−u(x)) / g have the mean Z, whatever r is.
    """

    coordinates: MolecularCoordinates
    config: BaseModel

    @abstractmethod
    def sample_with_extended_log_prob(
        self, n: int, generator: torch.Generator | None = None
    ) -> tuple[Float[Tensor, "batch atoms 3"], Float[Tensor, " batch"]]:
        """``n`` positions in nm and their log g."""

    @abstractmethod
    def log_prob_bound(
        self, x: Float[Tensor, "batch atoms 3"], k: int, generator: torch.Generator | None = None
    ) -> Float[Tensor, " batch"]:
        """Stochastic lower bound of log q(x) with ``k`` latent points each (IWAE, Burda 2016, eq. 8)."""


class ImplicitModel(nn.Module, ABC):
    """Generates conformations and knows nothing of their density: no weights, no free energy."""

    coordinates: MolecularCoordinates
    config: BaseModel

    @abstractmethod
    def sample(self, n: int, generator: torch.Generator | None = None) -> Float[Tensor, "batch atoms 3"]:
        """``n`` positions in nm."""


Model = GenerativeModel | LatentVariableModel | ImplicitModel
