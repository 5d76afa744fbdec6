"""What training minimises: objectives can be stored, restored and sent to another process."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, final, runtime_checkable

import torch
from torch import Tensor, nn

from boltzgen.energies.target import BoltzmannTarget


@dataclass(frozen=True)
class Loss:
    """The loss of one batch.

    Attributes
    ----------
    value
        Scalar to differentiate.
    log_weights
        −u − log q of the batch's samples at the target's temperature, [batch], where the objective has them.
    n_dropped
        Number of samples that did not take part in ``value``; on a device a scalar there.
    """

    value: Tensor
    log_weights: Tensor | None = None
    n_dropped: int | Tensor = 0


@runtime_checkable
class Stateful(Protocol):
    """Anything that can store and restore its state as torch's modules do."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any], /) -> Any: ...


class Objective(ABC):
    """A training objective of one model.

    An objective holds everything that its loss depends on, so that ``pickle`` sends it to another process.
    What changes from one step to the next is named in ``kept`` and makes up ``state_dict``: together with the
    parameters of the model and the state of the generator it determines all later losses.

    Parameters
    ----------
    model
        The model that is trained.
    generator
        The only source of the loss's random numbers.
    target
        The target whose energies the loss evaluates, if any.
    """

    kept: ClassVar[tuple[str, ...]] = ()
    """Attributes that change from step to step: tensors, numbers, strings, or what is ``Stateful``."""

    changes_model: ClassVar[bool] = False
    """Whether ``loss`` itself changes the model, beside the step of the optimiser."""

    def __init__(
        self, model: nn.Module, generator: torch.Generator, target: BoltzmannTarget | None = None
    ) -> None:
        self.model, self.generator, self.target = model, generator, target

    @abstractmethod
    def loss(self, progress: float) -> Loss:
        """Loss of the next batch; ``progress`` through the stage runs from 0 to 1."""

    def schedule(self, progress: float) -> tuple[float, ...] | None:
        """The numbers that the host computes from ``progress`` and puts into the loss; None where not told.

        While they stay the same a step differs from the one before by parameters and random numbers alone,
        and a GPU can repeat what it has recorded of it.
        """
        return None

    @property
    @final
    def is_stateless(self) -> bool:
        """Whether losses of several processes, each of a batch of its own, can be combined in one step."""
        return not self.kept and not self.changes_model

    @final
    def state_dict(self) -> dict[str, Any]:
        """What the objective keeps between steps: nested dictionaries of tensors, numbers and strings."""
        values = {name: getattr(self, name) for name in self.kept}
        return {
            name: value.state_dict() if isinstance(value, Stateful) else value
            for name, value in values.items()
        }

    @final
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned; tensors are moved to the device of the generator."""
        for name in self.kept:
            value, current = state[name], getattr(self, name)
            if isinstance(current, Stateful):
                current.load_state_dict(value)
            else:
                setattr(
                    self,
                    name,
                    value.to(self.generator.device) if isinstance(value, Tensor) else value,
                )
