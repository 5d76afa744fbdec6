"""What a model is trained on: the frames of a problem in the model's own coordinates."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from boltzgen.models.model import Internal, Model
from boltzgen.objectives.guided import ConformerFrames
from boltzgen.problem import Problem, ProblemFrames
from boltzgen.training.data import TrainingData


@torch.no_grad()
def internal_frames(model: Model, positions: Float[Tensor, "frames atoms 3"]) -> Internal:
    """Internal coordinates of those ``positions`` (nm) that lie in the domain of the model's coordinates."""
    torsions, stiff, log_det = model.coordinates.from_positions(positions)
    inside = torch.isfinite(log_det + torsions.sum(1) + stiff.sum(1))
    return Internal(torsions[inside], stiff[inside])


@torch.no_grad()
def conformer_frames(model: Model, frames: ProblemFrames) -> ConformerFrames:
    """Frames of every conformer with their energies, and torsions of all temperatures, for ``model``.

    Frames outside the domain of the model's coordinates are left out.
    """
    energies = frames.within_conformers_energies
    torsions, stiff, log_det = model.coordinates.from_positions(frames.within_conformers)
    inside = torch.isfinite(log_det + torsions.sum(1) + stiff.sum(1) + energies)
    tempered = internal_frames(model, frames.thermal.tempered)
    return ConformerFrames(
        Internal(torsions[inside], stiff[inside]), energies[inside], log_det[inside], tempered.torsions
    )


def energy_data(problem: Problem, model: Model, generator: torch.Generator) -> TrainingData:
    """What a model that learns from the energy alone starts from: nothing but the energy's own frames."""
    return TrainingData(
        problem.target,
        generator,
        internal_frames(model, problem.frames.thermal.positions),
        conformers=conformer_frames(model, problem.frames),
    )
