"""What a generative model promises, and what a sampler of molecules may ask of it."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn


class GenerativeModel(nn.Module, ABC):
    """Generates conformations with their exact log density.

    log q is stated in the measure of ``coordinates/internal.py``: positions with rigid motion divided out,
    over all labellings of equivalent rotor substituents.
    """

    @abstractmethod
    def sample_with_log_prob(
        self, n: int, generator: torch.Generator | None = None
    ) -> tuple[Float[Tensor, "batch atoms 3"], Float[Tensor, " batch"]]:
        """``n`` positions in nm and their log q."""

    @abstractmethod
    def log_prob(self, x: Float[Tensor, "batch atoms 3"]) -> Float[Tensor, " batch"]:
        """log q of positions in nm."""
