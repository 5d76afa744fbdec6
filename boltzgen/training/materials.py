"""What a model may be trained on, and the stage of a model that learns from frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from boltzgen.energies.target import BoltzmannTarget
from boltzgen.errors import InputError
from boltzgen.models.model import Internal
from boltzgen.objectives.walkers import Walkers
from boltzgen.training.config import TrainingConfig
from boltzgen.training.stage import Loss, Stage, Stateless

FrameLoss = Callable[[Any, Internal, float, torch.Generator], Tensor]


@dataclass(frozen=True)
class Guides:
    """What shows a model every conformer that replica exchange found, rare ones oftener than they are.

    frames: internal coordinates of dynamics within each, at the target's temperature, with their
    reduced_energies [n] and log_det [n], the ln |det| that ``to_positions`` has there. torsions
    [m, n_torsions]: those of frames of every temperature of the replica exchange.
    """

    frames: Internal
    reduced_energies: Tensor
    log_det: Tensor
    torsions: Tensor


@dataclass(frozen=True)
class Materials:
    """What a model may be trained on.

    frames: internal coordinates of thermal frames at the target's temperature. hot_frames: of another domain,
    a higher temperature. walkers: the population that objective "walkers" moves. guides: for objective
    "guided", and for the warm-up of every objective.
    """

    target: BoltzmannTarget
    generator: torch.Generator
    frames: Internal | None = None
    hot_frames: Internal | None = None
    walkers: Walkers | None = None
    guides: Guides | None = None


StageBuilder = Callable[[Any, Materials, TrainingConfig], list[Stage]]


def required_frames(materials: Materials) -> Internal:
    """The frames of ``materials``. Raises InputError where there are none."""
    if materials.frames is None or not len(materials.frames.stiff):
        raise InputError("This model learns from frames and there are none; give a reference.")
    return materials.frames


def drawn_rows(rows: int, n: int, generator: torch.Generator) -> Tensor:
    """``n`` indices of ``rows`` rows, drawn with replacement."""
    return torch.randint(rows, (n,), generator=generator, device=generator.device)


def batch(frames: Internal, n: int, generator: torch.Generator) -> Internal:
    """``n`` of ``frames``, drawn with replacement."""
    chosen = drawn_rows(len(frames.stiff), n, generator)
    return Internal(frames.torsions[chosen], frames.stiff[chosen])


def on_frames(loss: FrameLoss, name: str = "frames") -> StageBuilder:
    """Training that minimises ``loss(model, batch, progress, generator)`` over batches of the frames.

    batch: internal coordinates of frames; progress through the stage: 0 to 1; generator: for the loss's own
    random numbers. The loss keeps nothing from one call to the next: processes share its batches. The stages
    take the whole budget at ``TrainingConfig.learning_rate``.
    """

    def stages(model: Any, materials: Materials, config: TrainingConfig) -> list[Stage]:
        frames, generator = required_frames(materials), materials.generator

        def value(progress: float) -> Loss:
            return Loss(loss(model, batch(frames, config.batch_size, generator), progress, generator))

        return [Stage(name, 1.0, config.learning_rate, value, stateless=Stateless(generator))]

    return stages
