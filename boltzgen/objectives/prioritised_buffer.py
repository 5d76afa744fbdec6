"""Particles kept from one training step to the next, drawn in proportion to their weights."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from boltzgen.errors import InputError
from boltzgen.models.model import Internal
from boltzgen.objectives.bootstrap import BootstrapParticles


class PrioritisedBuffer:
    """The latest ``capacity`` particles, drawn with probability in proportion to their weights."""

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise InputError(f"A buffer of {capacity} particles was asked for; give at least one.")
        self.capacity = capacity
        self.frames = Internal(torch.empty(0), torch.empty(0))
        self.log_weights = torch.empty(0)
        self.log_prob = torch.empty(0)

    def __len__(self) -> int:
        return len(self.log_weights)

    def add(self, particles: BootstrapParticles) -> None:
        """Particles of finite weight come in, the oldest go."""
        finite = torch.isfinite(particles.log_weights) & torch.isfinite(particles.log_prob)
        torsions, stiff = (part[finite] for part in particles.frames)
        log_weights, log_prob = particles.log_weights[finite].double(), particles.log_prob[finite].double()
        if len(self):
            torsions = torch.cat([self.frames.torsions, torsions])
            stiff = torch.cat([self.frames.stiff, stiff])
            log_weights = torch.cat([self.log_weights, log_weights])
            log_prob = torch.cat([self.log_prob, log_prob])
        latest = slice(-self.capacity, None)
        self.frames = Internal(torsions[latest], stiff[latest])
        self.log_weights, self.log_prob = log_weights[latest], log_prob[latest]

    def draw(self, n: int, generator: torch.Generator | None = None) -> Int[Tensor, " n"]:
        """Indices of ``n`` particles, with replacement."""
        return torch.multinomial(torch.softmax(self.log_weights, 0), n, replacement=True, generator=generator)

    def frames_at(self, chosen: Int[Tensor, " n"]) -> Internal:
        """Internal coordinates of the particles ``chosen``."""
        return Internal(self.frames.torsions[chosen], self.frames.stiff[chosen])

    def update(self, chosen: Int[Tensor, " n"], log_prob: Float[Tensor, " n"]) -> None:
        """log q of the particles ``chosen`` is now ``log_prob``; the weights towards p²/q follow."""
        finite = torch.isfinite(log_prob)
        chosen, log_prob = chosen[finite], log_prob[finite].double()
        # All copies of one particle carry the same new value: writing it again changes nothing.
        self.log_weights[chosen] = self.log_weights[chosen] + self.log_prob[chosen] - log_prob
        self.log_prob[chosen] = log_prob

    def state_dict(self) -> dict[str, Any]:
        """The particles with their weights."""
        return {
            "torsions": self.frames.torsions,
            "stiff": self.frames.stiff,
            "log_weights": self.log_weights,
            "log_prob": self.log_prob,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what ``state_dict`` returned, tensors where they are."""
        self.frames = Internal(state["torsions"], state["stiff"])
        self.log_weights, self.log_prob = state["log_weights"], state["log_prob"]
