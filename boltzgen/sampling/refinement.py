"""Refinement of a trained flow's samples: annealing from the model to the target, as far as it pays.

Particles move in the flow's latent space, where the target is nearly the simple base density, so that plain
Hamiltonian trajectories need no preconditioning (Hoffman et al. 2019). The circle of each torsion is kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from boltzgen.errors import InputError
from boltzgen.models.flow import FlowModel
from boltzgen.models.model import Internal
from boltzgen.sampling.annealed import Annealing, Stage
from boltzgen.sampling.importance import effective_sample_size, pareto_k

PLAN_PARTICLES = 512
PILOT_PARTICLES = 2048
COARSE_LOSS = 0.3
MOST_PLANS = 5
MOST_PARETO_K = 0.7  # Vehtari et al. 2024
MARGIN = 0.85  # of the evaluations allowed, since the number of stages of a plan is a guess
SAFETY = 0.6  # stages lose more than planned, since one trajectory does not forget where it came from
CHUNK = 4096


@runtime_checkable
class EnergyTarget(Protocol):
    """What refinement needs of a target: reduced energies that can be differentiated."""

    def reduced_energy(self, x: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class RefinedSamples:
    """Positions in nm, reduced energies and log weights of independent particles, E[w] = Z.

    schedule: the stages that the particles went through, none where the model's samples were good enough.
    expected_share: share of effective particles that a pilot of the schedule had.
    """

    positions: Float[Tensor, "samples atoms 3"]
    reduced_energies: Float[Tensor, " samples"]
    log_weights: Float[Tensor, " samples"]
    schedule: tuple[Stage, ...]
    expected_share: float

    @property
    def log_prob(self) -> Float[Tensor, " samples"]:
        """−u − log w: what stands for log q in an ensemble, so that weights come out as they are here."""
        return -self.reduced_energies.double() - self.log_weights


class LatentDensities:
    """log base(z) and log p̃(g(z)) |∂g/∂z| of latent points z = [torsions, stiff coordinates] of a flow g.

    p̃ = exp(−u) in the measure of ``coordinates/internal.py``, so that weights have the mean Z.
    """

    def __init__(self, model: FlowModel, target: EnergyTarget) -> None:
        self.model, self.target = model, target
        self.n_torsions = model.coordinates.n_torsions

    def __call__(self, z: Tensor) -> tuple[Tensor, Tensor]:
        latent = self.latent(z)
        _, x, log_q = self.model.decode(latent)
        log_base = self.model.latent_log_prob(latent)
        return log_base, log_base - log_q - self.target.reduced_energy(x)

    def latent(self, z: Tensor) -> Internal:
        return Internal(z[:, : self.n_torsions], z[:, self.n_torsions :])

    def sample(self, n: int, generator: torch.Generator | None) -> Tensor:
        """``n`` latent points of the base."""
        return torch.cat(tuple(self.model.sample_latent(n, generator)), dim=1)

    def wrap(self, z: Tensor) -> Tensor:
        """Torsions back into [−π, π)."""
        torsions, stiff = self.latent(z)
        return torch.cat((torch.remainder(torsions + math.pi, 2 * math.pi) - math.pi, stiff), dim=1)


def plan_refinement(
    annealing: Annealing,
    densities: LatentDensities,
    target_share: float,
    most_evaluations: float,
    generator: torch.Generator,
) -> tuple[list[Stage], float]:
    """A schedule whose pilot has ``target_share`` of its particles effective, and that share.

    The weights' tail must be light too (Pareto-k at most 0.7), or a few particles that the pilot does not
    hold would take most of the weight. The coarsest schedule that will do is looked for. Schedules cost at
    most ``most_evaluations`` a particle; if none suffices, the best is returned. An empty one means the
    model's samples themselves.
    """
    best: list[Stage] = []
    best_share, light_tailed = _pilot(annealing, densities, best, generator)
    stage_loss = COARSE_LOSS
    for _ in range(MOST_PLANS):
        if best_share >= target_share and light_tailed:
            break
        schedule = annealing.plan(densities.sample(PLAN_PARTICLES, generator), stage_loss, generator)
        # Losses of short stages grow as their length squared: n stages of loss l lose as much as n²l in one.
        length = (len(schedule) + 1) * math.sqrt(-math.log1p(-stage_loss))
        finer = (SAFETY * math.log(1 / target_share) / length) ** 2
        affordable = (length * annealing.n_leapfrog / (MARGIN * most_evaluations)) ** 2
        if annealing.evaluations_per_particle(schedule) <= most_evaluations:
            share, light = _pilot(annealing, densities, schedule, generator)
            if share > best_share:
                best, best_share, light_tailed = schedule, share, light
        if stage_loss <= affordable:
            break
        stage_loss = max(min(finer, 0.5 * stage_loss), affordable)
    return best, best_share


def refine(
    model: FlowModel,
    target: EnergyTarget,
    n: int,
    generator: torch.Generator,
    target_share: float = 0.5,
    most_evaluations: float = 200.0,
    progress: Callable[[float], None] = lambda share_done: None,
) -> RefinedSamples:
    """``n`` independent samples, annealed until ``target_share`` of them are effective, if that can be had.

    ``most_evaluations`` bounds the energy evaluations for each sample; the pilots add up to a few thousand
    samples' worth. Each position carries a random one of the equivalent labellings.
    """
    if n < 1 or not 0 < target_share < 1 or not most_evaluations >= 1:
        raise InputError(
            f"Refinement of {n} samples to the share {target_share} with {most_evaluations} evaluations each:"
            " give at least one sample, a share between 0 and 1 and at least one evaluation."
        )
    densities = LatentDensities(model, target)
    annealing = Annealing(densities, wrap=densities.wrap)
    required = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in required:
        parameter.requires_grad_(False)
    try:
        schedule, share = plan_refinement(annealing, densities, target_share, most_evaluations, generator)
        parts = []
        for first in range(0, n, CHUNK):
            size = min(CHUNK, n - first)
            state = annealing.run(densities.sample(size, generator), schedule, generator)
            with torch.no_grad():
                _, x, log_q = model.decode(densities.latent(state.z))
            u = state.log_base - log_q - state.log_target
            parts.append((model.coordinates.randomise_labels(x, generator), u, state.log_weights))
            progress((first + size) / n)
    finally:
        for parameter in required:
            parameter.requires_grad_(True)
    positions, u, log_weights = (torch.cat(part) for part in zip(*parts, strict=True))
    return RefinedSamples(positions, u, log_weights, tuple(schedule), share)


def _pilot(
    annealing: Annealing, densities: LatentDensities, schedule: list[Stage], generator: torch.Generator
) -> tuple[float, bool]:
    """Share of effective particles that a pilot run of ``schedule`` has, and whether its tail is light."""
    state = annealing.run(densities.sample(PILOT_PARTICLES, generator), schedule, generator)
    if not bool((state.log_weights > -math.inf).any()):
        return 0.0, False
    share = effective_sample_size(state.log_weights) / PILOT_PARTICLES
    return share, pareto_k(state.log_weights) <= MOST_PARETO_K
