"""Frames at a higher temperature, where barriers are low: a second domain for models that learn from two."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from boltzgen.sampling.frames import thermal_frames
from boltzgen.sampling.turns import BondTurns
from boltzgen.workflows.preparation import Preparation

HOT = 2.0  # times the target's temperature


def hot_frames(prepared: Preparation, generator: torch.Generator) -> Float[Tensor, "frames atoms 3"]:
    """Frames (nm) at twice the target's temperature, from ladders that start at its thermal frames.

    Their energies count with the target's. Frames of another stereoisomer are left out.
    """
    target = prepared.target.at_temperature(HOT * prepared.target.temperature)
    molecule = prepared.system.molecule
    x = prepared.frames.positions
    starts = x[torch.randperm(len(x), generator=generator, device=x.device)[: prepared.size.ladders]]
    turns = BondTurns.of(molecule, x.device)
    frames = thermal_frames(target, prepared.masses, starts, prepared.size, generator, turns)
    kept = torch.as_tensor(molecule.keeps_stereo(frames.positions.cpu().numpy()))
    return frames.where(kept).positions
