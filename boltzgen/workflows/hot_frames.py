"""Frames at a higher temperature, where barriers are low: a second domain for models that learn from two."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from boltzgen.problem import Problem
from boltzgen.sampling.frames import thermal_frames
from boltzgen.sampling.turns import BondTurns

HOT = 2.0  # times the target's temperature


def hot_frames(problem: Problem, generator: torch.Generator) -> Float[Tensor, "frames atoms 3"]:
    """Frames (nm) at twice the target's temperature, from ladders that start at its thermal frames.

    Their energies count with the target's. Frames of another stereoisomer are left out.
    """
    target = problem.target.at_temperature(HOT * problem.target.temperature)
    molecule, size = problem.molecule, problem.frames.config
    x = problem.frames.thermal.positions
    starts = x[torch.randperm(len(x), generator=generator, device=x.device)[: size.ladders]]
    turns = BondTurns.of(molecule, x.device)
    frames = thermal_frames(target, problem.masses, starts, size, generator, turns)
    return frames.where(molecule.keeps_stereo).positions
