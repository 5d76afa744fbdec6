"""Training of autoencoders: the reconstruction of frames, and then a density of their codes."""

from __future__ import annotations

import torch

from boltzgen.models.autoencoder import Autoencoder
from boltzgen.models.model import Internal
from boltzgen.objectives.frames import random_batch
from boltzgen.objectives.objective import Loss, Objective


class Reconstruction(Objective):
    """Mean reconstruction loss of ``frames``, in batches drawn with replacement."""

    model: Autoencoder

    def __init__(
        self, model: Autoencoder, frames: Internal, batch_size: int, generator: torch.Generator
    ) -> None:
        super().__init__(model, generator)
        self.frames, self.batch_size = frames, batch_size

    def loss(self, progress: float) -> Loss:
        batch = random_batch(self.frames, self.batch_size, self.generator)
        return Loss(self.model.reconstruction_loss(batch).mean())


class LatentDensity(Objective):
    """Likelihood of the codes of ``frames`` in the model's mixture, which is fitted to them all at first."""

    changes_model = True  # the fit
    model: Autoencoder

    def __init__(
        self, model: Autoencoder, frames: Internal, batch_size: int, generator: torch.Generator
    ) -> None:
        super().__init__(model, generator)
        self.frames, self.batch_size = frames, batch_size

    def loss(self, progress: float) -> Loss:
        if not self.model.has_latent_density:
            self.model.fit_latent(self.frames, self.generator)
        batch = random_batch(self.frames, self.batch_size, self.generator)
        return Loss(-self.model.latent_log_prob(batch).mean())
