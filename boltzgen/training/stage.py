"""A stage of training: a share of the budget spent on one objective."""

from __future__ import annotations

from dataclasses import dataclass

from boltzgen.objectives.objective import Objective


@dataclass(frozen=True)
class Stage:
    """A share of the budget spent on one objective.

    Attributes
    ----------
    name
        What a person watching is told.
    share
        Of the budget, relative to the shares of the other stages.
    learning_rate
        The highest of the stage.
    objective
        What is minimised.
    steady_from
        Progress from which the objective no longer changes, so that a plateau can end the stage.
    betas
        Decay rates of Adam's moments.
    most_steps
        Steps that the stage may take; what is left of its share then goes to the next stage.
    """

    name: str
    share: float
    learning_rate: float
    objective: Objective
    steady_from: float = 0.0
    betas: tuple[float, float] = (0.9, 0.99)
    most_steps: int | None = None
