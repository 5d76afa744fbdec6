"""The average of a model's parameters over its training: what training leaves in the model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class WeightAverage:
    """Exponential average of the parameters whose memory is a fixed share of the steps so far."""

    def __init__(self, model: nn.Module, share: float) -> None:
        self.share, self.steps = share, 0
        self.averages: dict[str, Tensor] = {name: p.detach().clone() for name, p in model.named_parameters()}

    @torch.no_grad()
    def update(self, model: nn.Module, sound: Tensor | None = None) -> None:
        """Take the parameters of ``model`` in, as those of one more step.

        ``sound`` is a scalar on a device: where it is not true there, the averages stay as they are.
        """
        self.steps += 1
        rate = 1.0 / (1.0 + self.share * self.steps)
        names, current = zip(*model.named_parameters(), strict=True)
        averages = [self.averages[name] for name in names]
        if sound is None:
            torch._foreach_lerp_(averages, list(current), rate)
        else:
            changes = torch._foreach_sub(current, averages)
            torch._foreach_mul_(changes, rate * sound)
            torch._foreach_add_(averages, changes)

    @torch.no_grad()
    def copy_to(self, model: nn.Module) -> None:
        """Make the parameters of ``model`` the average."""
        for name, parameter in model.named_parameters():
            parameter.copy_(self.averages[name])

    @contextmanager
    def in_place(self, model: nn.Module) -> Iterator[None]:
        """``model`` has the average for a while, and then its own parameters again."""
        own = {name: p.detach().clone() for name, p in model.named_parameters()}
        self.copy_to(model)
        try:
            yield
        finally:
            with torch.no_grad():
                for name, parameter in model.named_parameters():
                    parameter.copy_(own[name])

    @torch.no_grad()
    def restart(self, model: nn.Module) -> None:
        """Make the average the parameters of ``model``, with as much memory as before."""
        for name, parameter in model.named_parameters():
            self.averages[name].copy_(parameter)

    def state_dict(self) -> dict[str, Any]:
        """The averages by name, and over how many steps."""
        return {"averages": self.averages, "steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what ``state_dict`` returned."""
        for name, value in state["averages"].items():
            self.averages[name].copy_(value)
        self.steps = state["steps"]
