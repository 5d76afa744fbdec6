"""Rounds of forward KL on the model's own samples, reweighted to a density that lies a little further on.

Each round takes the model as it was when the round began, draws samples of it, reweights them
(``reweighting.py``) and maximises their likelihood.
"""

from __future__ import annotations

import copy

import torch

from boltzgen.energies.target import BoltzmannTarget
from boltzgen.models.flow import FlowModel
from boltzgen.models.model import Internal
from boltzgen.objectives.cooling import Cooling
from boltzgen.objectives.frames import random_batch
from boltzgen.objectives.likelihood import negative_log_likelihood
from boltzgen.objectives.objective import Loss, Objective
from boltzgen.objectives.reweighting import Reweighting, model_samples, resampled


class ReweightedRounds(Objective):
    """Forward KL on reweighted samples, in ``n_rounds`` rounds that share the progress equally.

    Parameters
    ----------
    cooling
        Inverse temperature of a round, as a function of the rounds that are complete at its end.
    reweighting
        From samples of the model to log weights of the density that a round learns.
    n_samples
        Samples drawn at a time, each of which is used about once.
    """

    kept = ("round", "steps_left", "source", "torsions", "stiff", "log_weights")
    model: FlowModel
    target: BoltzmannTarget

    def __init__(
        self,
        model: FlowModel,
        target: BoltzmannTarget,
        batch_size: int,
        generator: torch.Generator,
        cooling: Cooling,
        reweighting: Reweighting,
        n_rounds: int,
        n_samples: int,
    ) -> None:
        super().__init__(model, generator, target)
        self.batch_size, self.cooling, self.reweighting = batch_size, cooling, reweighting
        self.n_rounds, self.n_samples = n_rounds, n_samples
        self.round, self.steps_left = -1, 0
        self.source = copy.deepcopy(model)
        self.torsions = self.stiff = self.log_weights = torch.empty(0)

    def loss(self, progress: float) -> Loss:
        due = min(int(progress * self.n_rounds), self.n_rounds - 1)
        if due != self.round:
            self.round, self.steps_left = due, 0
            self.source.load_state_dict(self.model.state_dict())
        if self.steps_left == 0:
            self._draw()
        self.steps_left -= 1
        frames = Internal(self.torsions, self.stiff)
        batch = random_batch(frames, self.batch_size, self.generator)
        return Loss(negative_log_likelihood(self.model, batch), self.log_weights)

    def _draw(self) -> None:
        """Samples of ``source``, resampled by the weights of this round's density."""
        samples = model_samples(self.source, self.target, self.n_samples, self.generator)
        beta = self.cooling(self.round + 1)
        frames = resampled(samples.frames, self.reweighting(samples, beta), self.generator)
        self.torsions, self.stiff = frames
        self.log_weights = samples.log_weights()
        self.steps_left = max(self.n_samples // self.batch_size, 1)
