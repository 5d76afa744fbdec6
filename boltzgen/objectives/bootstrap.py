"""Mass covering: the α = 2 divergence ∫ p²/q, by annealed importance sampling and a prioritised buffer.

∫ p²/q has gradient −∫ (p²/q) ∇log q: maximum likelihood of samples from g ∝ p²/q, which lie where q is too
small, lost modes before all. Annealed importance sampling from q to g finds them. Its particles are kept with
their weights, drawn in proportion to these, and brought up to date with the model as it changes (Midgley et
al., "Flow annealed importance sampling bootstrap", 2023, alg. 1 and eqs. 5-9).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from boltzgen.models.flow import FlowModel
from boltzgen.models.latent import EnergyTarget, LatentDensities
from boltzgen.models.model import Internal, fixed_parameters
from boltzgen.sampling.annealed import (
    FIRST_STEP,
    LEAST_STEP,
    LONGEST_TRAJECTORY,
    TARGET_ACCEPTANCE,
    AnnealedState,
    Annealing,
    AnnealingStage,
)


@dataclass(frozen=True)
class BootstrapParticles:
    """What one round of annealing gave, in the measure dτ dy of internal coordinates.

    log_weights: towards p²/q, E[w] = ∫ p²/q. log_prob: log q at the time. model_log_weights: −u − log q of
    the model samples that the annealing started from.
    """

    frames: Internal
    log_weights: Float[Tensor, " particles"]
    log_prob: Float[Tensor, " particles"]
    model_log_weights: Float[Tensor, " particles"]


class Bootstrap:
    """Annealing from the model to p²/q in its latent space; its step size follows the acceptance.

    At β the density is base^(1−2β) p̃^(2β): the model at 0, the target half way, p²/q at 1.
    """

    def __init__(self, model: FlowModel, target: EnergyTarget, n_stages: int, n_leapfrog: int) -> None:
        self.model = model
        self.densities = LatentDensities(model, target)
        self.annealing = Annealing(self._tilted, self.densities.wrap, n_leapfrog)
        self.betas = [(k + 1) / n_stages for k in range(n_stages)]
        self.step_sizes = [FIRST_STEP] * n_stages

    def run(self, n: int, generator: torch.Generator | None = None) -> BootstrapParticles:
        """``n`` independent particles, moved and weighted towards p²/q."""
        with fixed_parameters(self.model):
            state = self.annealing.init(self.densities.sample(n, generator))
            model_log_weights = 0.5 * (state.log_target - state.log_base)
            for k, beta in enumerate(self.betas):
                state, info = self.annealing.step(state, AnnealingStage(beta, self.step_sizes[k]), generator)
                longest = LONGEST_TRAJECTORY / self.annealing.n_leapfrog
                step_size = self.step_sizes[k] * math.exp(info.acceptance - TARGET_ACCEPTANCE)
                self.step_sizes[k] = min(max(step_size, LEAST_STEP), longest)
            return self._particles(state, model_log_weights)

    def state_dict(self) -> dict[str, Any]:
        """The step sizes that the acceptance has led to."""
        return {"step_sizes": list(self.step_sizes)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what ``state_dict`` returned."""
        self.step_sizes = list(state["step_sizes"])

    def _tilted(self, z: Tensor) -> tuple[Tensor, Tensor]:
        log_base, log_target = self.densities(z)
        return log_base, 2.0 * log_target - log_base

    @torch.no_grad()
    def _particles(self, state: AnnealedState, model_log_weights: Tensor) -> BootstrapParticles:
        internal, log_det = self.model.forward(self.densities.latent(state.z))
        return BootstrapParticles(internal, state.log_weights, state.log_base - log_det, model_log_weights)


def bootstrap_loss(
    log_prob: Float[Tensor, " batch"], old_log_prob: Float[Tensor, " batch"], bound: float
) -> Float[Tensor, ""]:
    """−E[c log q] over particles drawn by their old weights, c = min(q_old/q, ``bound``), held fixed.

    Its gradient is that of ∫ p²/q up to the constant ∫ p²/q itself. Particles whose log q is not finite have
    no part in it.
    """
    finite = torch.nonzero(torch.isfinite(log_prob)).flatten()
    log_prob, old = log_prob[finite], old_log_prob[finite]
    correction = (old - log_prob.detach().double()).exp().clamp(max=bound).to(log_prob)
    return -(correction * log_prob).sum() / max(len(old_log_prob), 1)
