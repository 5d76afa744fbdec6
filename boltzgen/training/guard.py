"""Training must not destroy what it starts from: the best state is kept, and training goes back to it.

A flow that has begun to diverge does not come back by itself: its samples leave the molecule's range, the
logarithm of their energy hardly pulls, and the gradient is that of noise. What started it, a step too long at
a place where the loss is steep, is a matter of a few steps.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

LOOK_EVERY = 64  # steps
MARGIN = 1.0  # nats that another state must be better than the average to be returned in its place
MOST_DIVERGENCES = 4  # of a stage
SLOWER = 0.5  # factor of the learning rate after each


class Measure(Protocol):
    """How bad a model is as it stands, in nats.

    Attributes
    ----------
    tolerance
        Nats by which a sound training may be worse than its best state.
    """

    tolerance: float

    def __call__(self) -> float: ...


@dataclass(frozen=True)
class KeptState:
    """A state of the training worth going back to.

    Attributes
    ----------
    value
        Its measure, infinite where there is none.
    parameters
        Of the model, by name.
    objective
        What the objective kept.
    """

    value: float
    parameters: dict[str, Tensor]
    objective: dict[str, Any]


class Guard:
    """Keeps the best state of a stage by a held-out measure, and tells when the training has left it.

    Parameters
    ----------
    model
        The model that is trained.
    measure
        How bad it is; None where nothing is known of its density: then the last state looked at is kept.
    """

    def __init__(self, model: nn.Module, measure: Measure | None) -> None:
        self.model, self.measure = model, measure
        self.value: float | None = None  # of the model as it stands, where it has been measured
        self.first_value: float | None = None  # of the model before any training
        self.divergences, self.level = 0, math.inf

    def enter_stage(self, objective: dict[str, Any]) -> None:
        """A stage begins with the state that the model is in, and with what its objective keeps."""
        value = self._measured() if self.value is None else self.value
        self.first_value = value if self.first_value is None else self.first_value
        self.best = self._state(value, objective)
        self.divergences, self.level = 0, math.inf

    def is_alarmed(self, log_weights: Tensor) -> bool:
        """Whether log weights of the last batches are so bad, beside the stage's best, that a look is due."""
        finite = log_weights[torch.isfinite(log_weights)]
        level = -float(finite.median()) if 2 * len(finite) > len(log_weights) else math.inf
        self.level = min(self.level, level)
        return self.measure is not None and not level <= self.level + self.measure.tolerance

    def has_diverged(self, objective: dict[str, Any]) -> bool:
        """Whether the model as it stands is beyond what a sound training does.

        It is kept where it is the best so far.
        """
        value = self._measured()
        if self.measure is None or value <= self.best.value:
            self.best = self._state(value, objective)
            return False
        return not value <= self.best.value + self.measure.tolerance

    def go_back(self) -> dict[str, Any]:
        """Put the best state into the model, and return what the objective kept there."""
        self.divergences, self.level = self.divergences + 1, math.inf
        self._put(self.best)
        return copy.deepcopy(self.best.objective)

    @property
    def learning_rate_factor(self) -> float:
        """By which the learning rate is lower than planned, after the divergences of this stage."""
        return SLOWER**self.divergences

    @property
    def gives_up(self) -> bool:
        """Whether the stage has diverged so often that it ends."""
        return self.divergences >= MOST_DIVERGENCES

    def settle(self) -> None:
        """End a stage: leave the state that the model is in, or the best one.

        The best one where it is better by ``MARGIN``, or where the other is worse than the model was before
        any training.
        """
        assert self.first_value is not None
        self.value = self._measured()
        most = min(self.best.value + MARGIN, self.first_value)
        if self.measure is not None and not self.value <= most:
            self._put(self.best)
            self.value = self.best.value

    def state_dict(self) -> dict[str, Any]:
        """The best state, and what was found in this stage."""
        return {
            "best": vars(self.best),
            "first_value": self.first_value,
            "divergences": self.divergences,
            "level": self.level,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what ``state_dict`` returned."""
        device = next(self.model.parameters()).device
        best = state["best"]
        parameters = {name: value.to(device) for name, value in best["parameters"].items()}
        self.best = KeptState(best["value"], parameters, best["objective"])
        self.first_value = state["first_value"]
        self.divergences, self.level = state["divergences"], state["level"]

    def _measured(self) -> float:
        value = math.inf if self.measure is None else self.measure()
        return value if math.isfinite(value) else math.inf

    def _state(self, value: float, objective: dict[str, Any]) -> KeptState:
        parameters = {name: p.detach().clone() for name, p in self.model.named_parameters()}
        return KeptState(value, parameters, copy.deepcopy(objective))

    @torch.no_grad()
    def _put(self, state: KeptState) -> None:
        for name, parameter in self.model.named_parameters():
            parameter.copy_(state.parameters[name])
