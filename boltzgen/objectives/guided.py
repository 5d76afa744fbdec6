"""Guided reverse KL: the flow is shown every conformer that is known, so that it drops none.

Reverse KL alone drops modes, since its gradients see another mode only from samples on the barrier between.
Two terms guide it: the stiff coordinates are trained at torsions of frames of all temperatures too
(``conditional.py``), and log q + u is made the same on frames of every conformer (``dispersion.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from boltzgen.accelerators import chunk_size
from boltzgen.energies.target import BoltzmannTarget
from boltzgen.models.flow import FlowModel
from boltzgen.models.model import Internal
from boltzgen.objectives.conditional import conditional_reverse_kl
from boltzgen.objectives.cooling import Cooling
from boltzgen.objectives.dispersion import log_dispersion, usual_level
from boltzgen.objectives.frames import random_rows
from boltzgen.objectives.objective import Loss, Objective
from boltzgen.objectives.outliers import Outliers
from boltzgen.objectives.reverse_kl import reverse_kl

if TYPE_CHECKING:
    from boltzgen.coordinates.base import StiffBase

LEAST_SURPRISE, SURPRISE_PER_COORDINATE = 20.0, 1.0  # nats
CHUNK = 4096  # on the CPU


@dataclass(frozen=True)
class ConformerFrames:
    """Frames of every conformer that replica exchange found, rare ones oftener than they are populated.

    Attributes
    ----------
    frames
        Internal coordinates of dynamics within each conformer, at the target's temperature.
    reduced_energies
        u of ``frames``, [n].
    log_det
        ln |det| that ``to_positions`` has at ``frames``, [n].
    torsions
        Torsions [m, n_torsions] of frames of every temperature of the replica exchange.
    """

    frames: Internal
    reduced_energies: Tensor
    log_det: Tensor
    torsions: Tensor

    def where(self, kept: Tensor) -> ConformerFrames:
        """The frames ``kept`` (bool [n]) alone; torsions of all temperatures stay."""
        frames = Internal(*(part[kept] for part in self.frames))
        return ConformerFrames(frames, self.reduced_energies[kept], self.log_det[kept], self.torsions)


@torch.no_grad()
def covered(base: StiffBase, stiff: Float[Tensor, "frames stiff"]) -> Tensor:
    """Which frames lie where the base density of the stiff coordinates has any weight, bool [frames].

    A large ring has more basins than the base has Gaussians. Frames hundreds of nats away from all of them
    would own every gradient: the layers stretch to reach these, and carry the model's own samples away. They
    are those more than 20 nats, and a nat for each coordinate, above the lowest twentieth.
    """
    if not len(stiff):
        return torch.zeros(0, dtype=torch.bool, device=stiff.device)
    surprise = torch.cat([-base.log_prob(part) for part in stiff.split(chunk_size(stiff.device, CHUNK))])
    usual = surprise.sort().values[len(surprise) // 20]
    return surprise <= usual + LEAST_SURPRISE + SURPRISE_PER_COORDINATE * stiff.shape[1]


@dataclass(frozen=True)
class Guidance:
    """How strongly the frames guide.

    Attributes
    ----------
    conditional_share
        Share of each batch whose torsions are those of frames of all temperatures.
    frames
        Frames of each batch that enter the log-dispersion.
    dispersion_weight, dispersion_bound
        Weight of the log-dispersion, and the deviation (nats) up to which a frame counts.
    """

    conditional_share: float
    frames: int
    dispersion_weight: float
    dispersion_bound: float


class GuidedReverseKL(Objective):
    """Reverse KL, its stiff part also at torsions of all temperatures, and log-dispersion on frames."""

    model: FlowModel
    target: BoltzmannTarget

    def __init__(
        self,
        model: FlowModel,
        target: BoltzmannTarget,
        conformers: ConformerFrames,
        batch_size: int,
        generator: torch.Generator,
        cooling: Cooling,
        outliers: Outliers,
        guidance: Guidance,
    ) -> None:
        super().__init__(model, generator, target)
        self.conformers, self.cooling, self.outliers = conformers, cooling, outliers
        self.guidance = guidance
        some = len(conformers.torsions) > 0
        self.n_conditional = int(guidance.conditional_share * batch_size) if some else 0
        self.n_samples = batch_size - self.n_conditional
        self.offset = -conformers.log_det - model.coordinates.log_multiplicity

    def schedule(self, progress: float) -> tuple[float, ...]:
        return (self.cooling(progress),)

    def loss(self, progress: float) -> Loss:
        beta = self.cooling(progress)
        value, info = reverse_kl(self.model, self.target, self.n_samples, self.generator, beta, self.outliers)
        n_dropped = info.n_dropped
        if self.n_conditional:
            stiff, dropped = self._conditional(beta)
            share = self.n_conditional / (self.n_conditional + self.n_samples)
            value, n_dropped = (1.0 - share) * value + share * stiff, n_dropped + dropped
        if self.guidance.dispersion_weight:
            level = usual_level(info.log_prob + beta * info.reduced_energies)
            value = value + self.guidance.dispersion_weight * self._dispersion(beta, level)
        return Loss(value, info.log_weights, n_dropped)

    def _conditional(self, beta: float) -> tuple[Tensor, Tensor]:
        rows = random_rows(len(self.conformers.torsions), self.n_conditional, self.generator)
        return conditional_reverse_kl(
            self.model, self.target, self.conformers.torsions[rows], self.generator, beta, self.outliers
        )

    def _dispersion(self, beta: float, level: Tensor) -> Tensor:
        known = self.conformers
        chosen = random_rows(len(self.offset), self.guidance.frames, self.generator)
        actions = beta * known.reduced_energies[chosen] + self.offset[chosen]
        frames = Internal(known.frames.torsions[chosen], known.frames.stiff[chosen])
        return log_dispersion(self.model, frames, actions, level, self.guidance.dispersion_bound)
