"""Reverse KL of the model's samples together with forward KL on a population of walkers."""

from __future__ import annotations

import torch

from boltzgen.energies.target import BoltzmannTarget
from boltzgen.models.flow import FlowModel
from boltzgen.objectives.cooling import Cooling
from boltzgen.objectives.objective import Loss, Objective
from boltzgen.objectives.outliers import Outliers
from boltzgen.objectives.reverse_kl import reverse_kl
from boltzgen.objectives.walkers import Proposals, Walkers, walker_likelihood


class WalkerKL(Objective):
    """Reverse KL and, at the same temperature, forward KL on walkers that its samples are proposals for.

    Parameters
    ----------
    n_steps
        Steps of the walkers' dynamics between two training steps.
    weight
        Weight of the forward KL, where the reverse KL has weight one.
    """

    kept = ("walkers",)
    model: FlowModel
    target: BoltzmannTarget

    def __init__(
        self,
        model: FlowModel,
        target: BoltzmannTarget,
        walkers: Walkers,
        batch_size: int,
        generator: torch.Generator,
        cooling: Cooling,
        outliers: Outliers,
        n_steps: int,
        weight: float,
    ) -> None:
        super().__init__(model, generator, target)
        self.walkers, self.batch_size = walkers, batch_size
        self.cooling, self.outliers = cooling, outliers
        self.n_steps, self.weight = n_steps, weight

    def loss(self, progress: float) -> Loss:
        beta = self.cooling(progress)
        self.walkers.move(self.n_steps, self.target.temperature / beta, self.generator)
        forward, log_prob = walker_likelihood(self.model, self.walkers.positions)
        reverse, info = reverse_kl(
            self.model, self.target, self.batch_size, self.generator, beta, self.outliers
        )
        proposals = Proposals(info.positions, info.reduced_energies, info.log_prob)
        self.walkers.exchange(log_prob, proposals, beta, self.generator)
        return Loss(reverse + self.weight * forward, info.log_weights, info.n_dropped)
