"""What a model may be trained on."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from boltzgen.energies.target import BoltzmannTarget
from boltzgen.errors import InputError
from boltzgen.models.model import Internal
from boltzgen.objectives.guided import ConformerFrames
from boltzgen.objectives.walkers import Walkers


@dataclass(frozen=True)
class TrainingData:
    """What a model may be trained on.

    Attributes
    ----------
    target
        The density to learn.
    generator
        The source of all random numbers of the training.
    frames
        Internal coordinates of thermal frames at the target's temperature.
    hot_frames
        Internal coordinates of frames of another domain, a higher temperature.
    walkers
        The population that objective "walkers" moves.
    conformers
        Frames of every conformer, for objective "guided" and the warm-up of every objective.
    """

    target: BoltzmannTarget
    generator: torch.Generator
    frames: Internal | None = None
    hot_frames: Internal | None = None
    walkers: Walkers | None = None
    conformers: ConformerFrames | None = None


def required_frames(data: TrainingData) -> Internal:
    """The frames of ``data``. Raises InputError where there are none."""
    if data.frames is None or not len(data.frames.stiff):
        raise InputError("This model learns from frames and there are none; give a reference.")
    return data.frames
