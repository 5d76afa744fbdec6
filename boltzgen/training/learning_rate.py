"""The learning rate: its course over a stage, and parts of a model that learn at a rate of their own."""

from __future__ import annotations

import math
from typing import Any

from torch import nn


def learning_rate_factor(progress: float, steps: int) -> float:
    """Cosine decay over a stage after a linear rise over its first 20 steps.

    Parameters
    ----------
    progress
        Through the stage, 0 to 1.
    steps
        Taken since the stage began, or since training went back to an earlier state.

    Returns
    -------
    float
        Share of the stage's learning rate, in (0, 1].
    """
    return min(1.0, (steps + 1) / 20) * (0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * progress)))


def parameter_groups(model: nn.Module) -> list[dict[str, Any]]:
    """Groups for a torch optimizer of the parameters that train, one for each learning rate.

    Parameters
    ----------
    model
        A module may have a ``learning_rate_factor``: its own parameters then learn that much faster.

    Returns
    -------
    list
        Of dictionaries with "params" and "factor", by rising factor.
    """
    factors = {
        parameter: float(getattr(module, "learning_rate_factor", 1.0))
        for module in model.modules()
        for parameter in module.parameters(recurse=False)
        if parameter.requires_grad
    }
    return [
        {"params": [parameter for parameter in factors if factors[parameter] == factor], "factor": factor}
        for factor in sorted(set(factors.values()))
    ]
