"""Annealed importance sampling and sequential Monte Carlo between two densities, with Hamiltonian moves.

Particles start as samples z ~ q and pass through π_β ∝ q^(1−β) p̃^β from β = 0 to 1 (Neal 2001). At each
stage log w grows by (β' − β)(log p̃ − log q), then a Metropolis-corrected Hamiltonian trajectory that leaves
π_β' unchanged moves every particle. E[w] = Z exactly, for any fixed schedule: ``plan`` adapts one on
particles of its own. Particles are independent unless they are resampled.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from boltzgen.errors import InputError
from boltzgen.sampling.importance import effective_sample_size, log_mean_weight, systematic_resample

DensityPair = Callable[[Tensor], tuple[Tensor, Tensor]]
TARGET_ACCEPTANCE = 0.75
STEP_JITTER = 0.2  # share by which step sizes vary at random, so that no trajectory closes on itself
LONGEST_TRAJECTORY = 0.5 * math.pi  # in units of q's width: forgets a normal coordinate, returns to none
FIRST_STEP, LEAST_STEP = 0.3, 1e-4
TUNING_ROUNDS = 6
PLAN_RESAMPLE_BELOW = 0.5


@dataclass(frozen=True)
class AnnealingStage:
    """Move with ``step_size`` at ``beta``."""

    beta: float
    step_size: float


@dataclass(frozen=True)
class AnnealedState:
    """Particles z, their log q and log p̃ with gradients, and log weights (float64) at ``beta``.

    ancestor: the first particle each one descends from; without resampling itself.
    """

    z: Float[Tensor, "particles dim"]
    log_base: Float[Tensor, " particles"]
    log_target: Float[Tensor, " particles"]
    base_gradient: Float[Tensor, "particles dim"]
    target_gradient: Float[Tensor, "particles dim"]
    log_weights: Float[Tensor, " particles"]
    beta: float
    ancestor: Int[Tensor, " particles"]

    def log_density(self, beta: float) -> Float[Tensor, " particles"]:
        """log π_β up to its constant, float64."""
        if beta == 0.0:
            return self.log_base.double()
        return (1 - beta) * self.log_base.double() + beta * self.log_target.double()

    def gradient(self, beta: float) -> Float[Tensor, "particles dim"]:
        return (1 - beta) * self.base_gradient + beta * self.target_gradient


@dataclass(frozen=True)
class AnnealedInfo:
    """Mean acceptance of a stage's moves, Kish's share before resampling, and whether it resampled."""

    acceptance: float
    effective_sample_size_fraction: float
    resampled: bool


@dataclass(frozen=True)
class Annealing:
    """Anneals particles from q to p̃.

    densities: z [particles, dim] -> (log q, log p̃) [particles], differentiable. log q is normalised.
    wrap: maps z to its standard range after a move, a measure-preserving identification (the circle).
    resample_below: share of effective particles under which they are resampled (sequential Monte Carlo); 0
        keeps particles independent, so that errors and sample sizes of the weights are plain ones.
    """

    densities: DensityPair
    wrap: Callable[[Tensor], Tensor] = torch.clone
    n_leapfrog: int = 3
    resample_below: float = 0.0

    def __post_init__(self) -> None:
        if self.n_leapfrog < 1 or not 0 <= self.resample_below <= 1:
            raise InputError(
                "Annealing needs at least one leapfrog step and a resampling share between 0 and 1."
            )

    def init(self, z: Float[Tensor, "particles dim"]) -> AnnealedState:
        """Particles z drawn from q, with weight one."""
        n = len(z)
        weights = torch.zeros(n, dtype=torch.float64, device=z.device)
        return self._evaluate(z, weights, 0.0, torch.arange(n, device=z.device))

    def step(
        self, state: AnnealedState, stage: AnnealingStage, generator: torch.Generator | None = None
    ) -> tuple[AnnealedState, AnnealedInfo]:
        """Reweight to ``stage.beta`` and move there; the last stage, β = 1, needs no move for its weights."""
        state = self.reweight(state, stage.beta)
        share = effective_sample_size(state.log_weights) / len(state.z)
        resampled = share < self.resample_below
        if resampled:
            state = _resample(state, generator)
        state, acceptance = self._move(state, stage.step_size, generator)
        return state, AnnealedInfo(acceptance, share, resampled)

    def run(
        self,
        z: Float[Tensor, "particles dim"],
        schedule: Sequence[AnnealingStage],
        generator: torch.Generator | None = None,
    ) -> AnnealedState:
        """Particles z ~ q taken through ``schedule`` and weighted at β = 1."""
        state = self.init(z)
        for stage in schedule:
            state, _ = self.step(state, stage, generator)
        return self.reweight(state, 1.0)

    def plan(
        self,
        z: Float[Tensor, "particles dim"],
        stage_loss: float,
        generator: torch.Generator | None = None,
        most_stages: int = 1000,
    ) -> list[AnnealingStage]:
        """A schedule in which each stage costs about the share ``stage_loss`` of the effective particles.

        Step sizes are led to an acceptance of 75 % or to a quarter of a normal oscillation. The particles
        z ~ q are spent on it: they are resampled, and only a ``run`` with others is unbiased.
        """
        if not 0 < stage_loss < 1:
            raise InputError(f"A stage cannot cost the share {stage_loss} of particles; give 0 < share < 1.")
        resampling = replace(self, resample_below=PLAN_RESAMPLE_BELOW)
        state, step_size = self.init(z), FIRST_STEP
        for _ in range(TUNING_ROUNDS):
            state, acceptance = self._move(state, step_size, generator)
            step_size = self._adapted(step_size, acceptance)
        schedule: list[AnnealingStage] = []
        while len(schedule) < most_stages:
            beta = _next_beta(state, stage_loss)
            if beta >= 1.0:
                break
            schedule.append(AnnealingStage(beta, step_size))
            state, info = resampling.step(state, schedule[-1], generator)
            step_size = self._adapted(step_size, info.acceptance)
        return schedule

    def evaluations_per_particle(self, schedule: Sequence[AnnealingStage]) -> int:
        """Evaluations of both densities that a run costs for each particle."""
        return 1 + self.n_leapfrog * len(schedule)

    def _adapted(self, step_size: float, acceptance: float) -> float:
        step_size *= math.exp(acceptance - TARGET_ACCEPTANCE)
        return min(max(step_size, LEAST_STEP), LONGEST_TRAJECTORY / self.n_leapfrog)

    def _evaluate(self, z: Tensor, log_weights: Tensor, beta: float, ancestor: Tensor) -> AnnealedState:
        """Both densities at z; where one is NaN it counts as zero, where a gradient is not finite as none."""
        with torch.enable_grad():
            z = z.detach().requires_grad_(True)
            log_base, log_target = self.densities(z)
            gradients = [
                torch.autograd.grad(value.sum(), z, retain_graph=True)[0] for value in (log_base, log_target)
            ]
        log_base, log_target = (
            torch.where(v.detach() < math.inf, v.detach(), -math.inf) for v in (log_base, log_target)
        )
        base_gradient, target_gradient = (torch.where(torch.isfinite(g), g, 0.0) for g in gradients)
        return AnnealedState(
            z.detach(), log_base, log_target, base_gradient, target_gradient, log_weights, beta, ancestor
        )

    def reweight(self, state: AnnealedState, beta: float) -> AnnealedState:
        """The particles of ``state``, where they are, weighted towards π_β."""
        if beta == state.beta:
            return state
        gain = (beta - state.beta) * (state.log_target.double() - state.log_base.double())
        weights = state.log_weights + gain
        weights = torch.where(weights < math.inf, weights, -math.inf)
        return replace(state, log_weights=weights, beta=beta)

    def _move(
        self, state: AnnealedState, step_size: float, generator: torch.Generator | None
    ) -> tuple[AnnealedState, float]:
        """One Hamiltonian trajectory of every particle with a Metropolis test (Duane et al. 1987)."""
        z = state.z
        jitter = torch.rand(len(z), 1, generator=generator, dtype=z.dtype, device=z.device)
        step = step_size * (1 + STEP_JITTER * (2 * jitter - 1))
        momentum = torch.randn(z.shape, generator=generator, dtype=z.dtype, device=z.device)
        kinetic = momentum.double().square().sum(dim=1)
        proposed = state
        for _ in range(self.n_leapfrog):
            momentum = momentum + 0.5 * step * proposed.gradient(state.beta)
            moved = self.wrap(proposed.z + step * momentum)
            proposed = self._evaluate(moved, state.log_weights, state.beta, state.ancestor)
            momentum = momentum + 0.5 * step * proposed.gradient(state.beta)
        log_ratio = proposed.log_density(state.beta) - state.log_density(state.beta)
        log_ratio = log_ratio + 0.5 * (kinetic - momentum.double().square().sum(dim=1))
        uniform = torch.rand(len(z), generator=generator, dtype=torch.float64, device=z.device)
        accept = uniform.log() < log_ratio
        acceptance = torch.nan_to_num(log_ratio, nan=-math.inf).clamp(max=0.0).exp()
        alive = state.log_weights > -math.inf
        return _chosen(accept, proposed, state), float(acceptance[alive].mean())


def _chosen(accept: Tensor, new: AnnealedState, old: AnnealedState) -> AnnealedState:
    column = accept[:, None]
    return AnnealedState(
        torch.where(column, new.z, old.z),
        torch.where(accept, new.log_base, old.log_base),
        torch.where(accept, new.log_target, old.log_target),
        torch.where(column, new.base_gradient, old.base_gradient),
        torch.where(column, new.target_gradient, old.target_gradient),
        old.log_weights,
        old.beta,
        old.ancestor,
    )


def _resample(state: AnnealedState, generator: torch.Generator | None) -> AnnealedState:
    """Equal weights whose mean is the mean of the weights so far, so that E[w] = Z stays."""
    source = systematic_resample(state.log_weights, len(state.z), generator)
    return AnnealedState(
        state.z[source],
        state.log_base[source],
        state.log_target[source],
        state.base_gradient[source],
        state.target_gradient[source],
        torch.full_like(state.log_weights, log_mean_weight(state.log_weights).value),
        state.beta,
        state.ancestor[source],
    )


def _next_beta(state: AnnealedState, stage_loss: float) -> float:
    """The β whose weights, relative to those now, keep 1 − stage_loss of the ESS (Zhou et al. 2016)."""
    weights = torch.softmax(state.log_weights, 0)
    used = weights > 0
    weights = weights[used]
    difference = (state.log_target.double() - state.log_base.double())[used]
    difference = torch.where(difference < math.inf, difference, -math.inf)

    def kept(beta: float) -> float:
        gain = (beta - state.beta) * difference
        log_first = torch.logsumexp(weights.log() + gain, 0)
        log_second = torch.logsumexp(weights.log() + 2 * gain, 0)
        return float((2 * log_first - log_second).exp())

    low, high = state.beta, 1.0
    if kept(1.0) >= 1 - stage_loss:
        return 1.0
    for _ in range(50):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if kept(middle) >= 1 - stage_loss else (low, middle)
    return high
