"""Density of the whitened stiff coordinates before a flow: normal, or a mixture over several basins."""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn


class MixtureBlock(nn.Module):
    """Gaussian mixture with full covariances over the coordinates ``indices``.

    ``log_weights`` [k] is the parameter that training moves: the weights are its softmax. Means and
    covariances stay. A weight that was estimated wrongly by some kT has nats to go, where the parameters of a
    network move by hundredths; at their learning rate it would not arrive.
    """

    learning_rate_factor = 10.0
    indices: Tensor
    means: Tensor
    factors: Tensor
    inverses: Tensor

    def __init__(self, indices: list[int], n_components: int) -> None:
        super().__init__()
        k, d = n_components, len(indices)
        self.register_buffer("indices", torch.tensor(indices), persistent=False)
        self.log_weights = nn.Parameter(torch.full((k,), -math.log(k), dtype=torch.float64))
        self.register_buffer("means", torch.zeros(k, d, dtype=torch.float64))
        self.register_buffer("factors", torch.eye(d, dtype=torch.float64).repeat(k, 1, 1))
        self.register_buffer("inverses", torch.eye(d, dtype=torch.float64).repeat(k, 1, 1))

    def set(self, weights: Tensor, means: Tensor, factors: Tensor) -> None:
        """Sets weights [k], means [k, d] and lower-triangular factors [k, d, d] of the covariances."""
        eye = torch.eye(factors.shape[-1], dtype=factors.dtype, device=factors.device).expand_as(factors)
        self.set_weights(weights)
        self.means.copy_(means)
        self.factors.copy_(factors)
        self.inverses.copy_(torch.linalg.solve_triangular(factors, eye, upper=False))

    def transform(self, normal: Tensor, generator: torch.Generator | None) -> Tensor:
        """Samples of the mixture [n, d] from standard normal ones."""
        device = generator.device if generator is not None else normal.device
        cumulative = torch.softmax(self.log_weights.detach().double(), 0).cumsum(0).to(device)
        uniform = torch.rand(len(normal), generator=generator, dtype=torch.float64, device=device)
        chosen = torch.searchsorted(cumulative, uniform * cumulative[-1]).clamp_max(len(cumulative) - 1)
        chosen = chosen.to(normal.device)[:, None]
        result = normal
        for k, (mean, factor) in enumerate(zip(self.means, self.factors, strict=True)):
            result = torch.where(chosen == k, mean + normal @ factor.T, result)
        return result

    @torch.no_grad()
    def set_weights(self, weights: Tensor) -> None:
        """Sets the weights [k]; they need not be normalised."""
        self.log_weights.copy_((weights / weights.sum()).log())

    def component_log_prob(self, y: Float[Tensor, "batch d"], k: int) -> Float[Tensor, " batch"]:
        """ln density of y in the Gaussian ``k`` alone."""
        z = (y - self.means[k]) @ self.inverses[k].T
        log_norm = self.inverses[k].diagonal().log().sum() - 0.5 * y.shape[1] * math.log(2.0 * math.pi)
        return log_norm - 0.5 * z.square().sum(1)

    def log_prob(self, y: Float[Tensor, "batch d"]) -> Float[Tensor, " batch"]:
        """ln density of y in the mixture."""
        log_weights = torch.log_softmax(self.log_weights, 0)
        components = torch.stack([self.component_log_prob(y, k) for k in range(len(self.means))], 1)
        return torch.logsumexp(log_weights + components, 1)


class StiffBase(nn.Module):
    """Independent blocks of coordinates with a mixture each; the remaining ones are standard normal.

    ``multimodal_indices`` names the coordinates of all blocks.
    """

    multimodal_indices: Tensor
    unimodal_indices: Tensor
    _like: Tensor

    def __init__(self, n_stiff: int, blocks: list[MixtureBlock] | None = None) -> None:
        super().__init__()
        self.n_stiff = n_stiff
        self.blocks: list[MixtureBlock] = list(blocks or [])
        self.block_modules = nn.ModuleList(self.blocks)
        several = sorted(int(i) for block in self.blocks for i in block.indices)
        rest = sorted(set(range(n_stiff)) - set(several))
        self.register_buffer("multimodal_indices", torch.tensor(several, dtype=torch.long), persistent=False)
        self.register_buffer("unimodal_indices", torch.tensor(rest, dtype=torch.long), persistent=False)
        self.register_buffer("_like", torch.zeros((), dtype=torch.float64), persistent=False)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Float[Tensor, "n stiff"]:
        """``n`` samples in the base's dtype, on its device."""
        device = generator.device if generator is not None else self._like.device
        y = torch.randn(n, self.n_stiff, generator=generator, dtype=self._like.dtype, device=device)
        y = y.to(self._like.device)
        for block in self.blocks:
            y = y.index_copy(1, block.indices, block.transform(y[:, block.indices], generator))
        return y

    def log_prob(
        self, y: Float[Tensor, "batch stiff"], but: MixtureBlock | None = None
    ) -> Float[Tensor, " batch"]:
        """ln density of y; without the coordinates of the block ``but``, where it is given."""
        rest = y[:, self.unimodal_indices] if self.blocks else y
        log_p = -0.5 * rest.square().sum(1) - 0.5 * rest.shape[1] * math.log(2.0 * math.pi)
        for block in self.blocks:
            if block is but:
                continue
            log_p = log_p + block.log_prob(y[:, block.indices])
        return log_p

    def config(self) -> dict[str, Any]:
        blocks = [{"indices": b.indices.tolist(), "n_components": len(b.means)} for b in self.blocks]
        return {"n_stiff": self.n_stiff, "blocks": blocks}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> StiffBase:
        return cls(config["n_stiff"], [MixtureBlock(**block) for block in config["blocks"]])
