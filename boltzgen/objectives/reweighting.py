"""Reweighting a model's own samples to a density that lies a little further on.

A model trained hot, where barriers are low, holds every basin. Its samples reweighted to the next lower
temperature are training data there, and so on down a geometric ladder (Schopmans and Friederich,
"Temperature-annealed Boltzmann generators", 2025). Weights that few samples own would teach those samples by
heart; they are tempered, so that a round goes part of the way (Koblents and Míguez 2015). A trust region
(``trust_region.py``) is the other way to bound a round.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from boltzgen.accelerators import chunk_size
from boltzgen.models.flow import FlowModel
from boltzgen.models.latent import EnergyTarget
from boltzgen.models.model import Internal
from boltzgen.sampling.importance import effective_sample_size, log_importance_weights, systematic_resample

CHUNK = 4096  # on the CPU
BISECTIONS = 30


@dataclass(frozen=True)
class ModelSamples:
    """Samples of a model: internal coordinates, reduced energies u and log q of positions."""

    frames: Internal
    reduced_energies: Float[Tensor, " samples"]
    log_prob: Float[Tensor, " samples"]

    def log_weights(self, inverse_temperature: float = 1.0) -> Float[Tensor, " samples"]:
        """−βu − log q, float64, −inf where the energy is not finite."""
        return log_importance_weights(inverse_temperature * self.reduced_energies, self.log_prob)


@torch.no_grad()
def model_samples(
    model: FlowModel, target: EnergyTarget, n: int, generator: torch.Generator | None = None
) -> ModelSamples:
    """``n`` samples of the model, in chunks."""
    torsions, stiff, energies, log_prob = [], [], [], []
    chunk = chunk_size(next(model.parameters()).device, CHUNK)
    for first in range(0, n, chunk):
        internal, x, log_q = model.decode(model.sample_latent(min(chunk, n - first), generator))
        torsions.append(internal.torsions)
        stiff.append(internal.stiff)
        energies.append(target.reduced_energy(x))
        log_prob.append(log_q)
    return ModelSamples(
        Internal(torch.cat(torsions), torch.cat(stiff)), torch.cat(energies), torch.cat(log_prob)
    )


def resampled(
    frames: Internal, log_weights: Float[Tensor, " samples"], generator: torch.Generator | None = None
) -> Internal:
    """As many frames as given, of equal weight, each taken in proportion to its weight."""
    chosen: Int[Tensor, " samples"] = systematic_resample(log_weights, len(log_weights), generator)
    return Internal(frames.torsions[chosen], frames.stiff[chosen])


def tempered(log_weights: Float[Tensor, " samples"], effective_share: float) -> Float[Tensor, " samples"]:
    """α log w with the largest α ≤ 1 that leaves Kish's size at least ``effective_share`` of the samples.

    Samples of q then stand for q^(1−α) p̃^α. Those without weight keep none; where too few have any, α is next
    to 0 and these count alike.
    """
    least = effective_share * len(log_weights)
    if effective_sample_size(log_weights) >= least:
        return log_weights
    low, high = 0.0, 1.0
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if effective_sample_size(middle * log_weights) >= least else (low, middle)
    return max(low, 0.5**BISECTIONS) * log_weights


@dataclass(frozen=True)
class Tempering:
    """Weights at an inverse temperature, tempered until at least ``effective_share`` of them is effective."""

    effective_share: float

    def __call__(self, samples: ModelSamples, inverse_temperature: float) -> Float[Tensor, " samples"]:
        return tempered(samples.log_weights(inverse_temperature), self.effective_share)


Reweighting = Callable[[ModelSamples, float], Tensor]
"""Log weights [samples] from samples of a model and an inverse temperature, relative to the target's."""
