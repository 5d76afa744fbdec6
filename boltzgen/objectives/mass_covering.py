"""Mass covering: training on particles of the α = 2 bootstrap, kept in a prioritised buffer."""

from __future__ import annotations

import torch

from boltzgen.energies.target import BoltzmannTarget
from boltzgen.models.flow import FlowModel
from boltzgen.objectives.bootstrap import Bootstrap, bootstrap_loss
from boltzgen.objectives.objective import Loss, Objective
from boltzgen.objectives.prioritised_buffer import PrioritisedBuffer


class MassCovering(Objective):
    """The α = 2 bootstrap at the target temperature; log weights are those of the model's first samples.

    Parameters
    ----------
    bootstrap
        Makes ``particles`` new particles every ``refresh_every`` steps.
    capacity
        Number of particles that the buffer holds.
    correction_bound
        Bound of the weight that makes up for a model that has changed since a particle was made.
    """

    kept = ("bootstrap", "buffer", "steps")
    model: FlowModel
    target: BoltzmannTarget

    def __init__(
        self,
        model: FlowModel,
        target: BoltzmannTarget,
        batch_size: int,
        generator: torch.Generator,
        bootstrap: Bootstrap,
        particles: int,
        refresh_every: int,
        capacity: int,
        correction_bound: float,
    ) -> None:
        super().__init__(model, generator, target)
        self.batch_size, self.bootstrap, self.particles = batch_size, bootstrap, particles
        self.refresh_every, self.correction_bound = refresh_every, correction_bound
        self.buffer = PrioritisedBuffer(capacity)
        self.steps = 0

    def loss(self, progress: float) -> Loss:
        log_weights, n_dropped = None, 0
        if self.steps % self.refresh_every == 0:
            particles = self.bootstrap.run(self.particles, self.generator)
            self.buffer.add(particles)
            log_weights = particles.model_log_weights
            n_dropped = int((~torch.isfinite(particles.log_weights)).sum())
        self.steps += 1
        chosen = self.buffer.draw(self.batch_size, self.generator)
        log_prob = self.model.internal_log_prob(self.buffer.frames_at(chosen))
        old = self.buffer.log_prob[chosen]
        self.buffer.update(chosen, log_prob.detach())
        return Loss(bootstrap_loss(log_prob, old, self.correction_bound), log_weights, n_dropped)
