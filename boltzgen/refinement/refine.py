"""Refinement of a trained flow's samples: more of them, thinned, and annealed to the target where that pays.

Two ways to spend energy evaluations, both exact. Drawing N > n samples and thinning them to n keeps what all
N tell in n nearly equal weights: the way for a good model. Annealing moves particles from the model to the
target before they are weighted: the way for a poor one, at some tens of gradients each. Pilots measure cost
and weights of each; the cheaper one runs, with fresh particles and a schedule that no longer changes, so that
weights have the mean Z. Particles move in the flow's latent space, where the target is nearly the simple base
density and plain Hamiltonian trajectories need no preconditioning (Hoffman et al. 2019).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

import torch
from jaxtyping import Float
from torch import Tensor

from boltzgen.accelerators import chunk_size
from boltzgen.errors import InputError, NotConvergedError
from boltzgen.models.flow import FlowModel
from boltzgen.models.latent import EnergyTarget, LatentDensities
from boltzgen.models.model import fixed_parameters
from boltzgen.refinement.particles import LEAST_THINNED, PARTS, Pilot, WeightedLatents, run_pilot
from boltzgen.sampling.annealed import TUNING_ROUNDS, Annealing
from boltzgen.sampling.importance import (
    WeightStatistics,
    clipped_effective_sample_size,
    effective_sample_size,
    log_mean_weight,
    pareto_k,
)
from boltzgen.sampling.thinning import thin

CHUNK = 4096  # on the CPU
MODEL_PILOT, ANNEALING_PILOT, LEAST_PILOT, PLAN_PARTICLES = 8192, 2048, 512, 256
GRADIENT_COST = 3.0  # of both densities with gradients, in plain samples, until it is measured
STAGE_LOSSES = (0.5, 0.2, 0.08)  # schedules tried, coarse to fine
MODEL_PILOT_TIME, ANNEALING_PILOT_TIME = 0.1, 0.25  # most of the time allowed that pilots may take
CHEAP = 0.5  # of the time left: a thinning that needs no more is not compared with annealing
MARGIN = 1.7
PLANNED = 1.2  # of the proposals that a pilot asks for
MORE = 1.3  # times as many where these do not do
RESERVE = 0.9  # of the time left, for a plan


@dataclass(frozen=True)
class RefinementInfo:
    """What was done: all evaluations of both densities, pilots included, and the shares that they bought.

    proposals: particles that were thinned to those returned. stages and acceptance are those of annealing,
    0 and nan without. share_before: effective share of the model's samples in a pilot.
    """

    evaluations: int
    proposals: int
    stages: int
    acceptance: float
    share_before: float
    share_after: float
    seconds: float


@dataclass(frozen=True)
class RefinedSamples:
    """Positions in nm, reduced energies and log weights, E[w] = Z.

    statistics: of these samples, but log Z and the tail are those of all proposals, which tell more of both.
    """

    positions: Float[Tensor, "samples atoms 3"]
    reduced_energies: Float[Tensor, " samples"]
    log_weights: Float[Tensor, " samples"]
    statistics: WeightStatistics
    info: RefinementInfo


def refine(
    model: FlowModel,
    target: EnergyTarget,
    n: int,
    generator: torch.Generator,
    target_share: float = 0.5,
    seconds: float = 60.0,
    progress: Callable[[float], None] = lambda share_done: None,
    least_effective: float = 0.0,
) -> RefinedSamples:
    """``n`` samples of which ``target_share`` are effective, if that can be had within ``seconds``.

    All proposals together are worth ``least_effective`` samples where there is the time: log Z is theirs.

    All of it, pilots included, takes no longer than ``seconds`` unless ``n`` plain samples do. Each position
    carries a random one of the equivalent labellings. Raises InputError for settings that cannot be, and
    NotConvergedError where no sample has any weight.
    """
    if n < 1 or not 0 < target_share < 1 or not seconds > 0:
        raise InputError(
            f"Refinement of {n} samples to the share {target_share} in {seconds} s: give at least one sample,"
            " a share between 0 and 1 and a positive time."
        )
    began = monotonic()
    end = began + seconds
    densities = LatentDensities(model, target)
    with fixed_parameters(model):
        plain = run_pilot(
            WeightedLatents(densities), MODEL_PILOT, generator, began + MODEL_PILOT_TIME * seconds
        )
        end -= n * plain.seconds_each  # for the positions of what is kept
        chosen = _chosen(plain, densities, n, target_share, generator, end)
        needed = chosen.ratio_for(target_share)
        ratio = PLANNED * needed if needed > 1.0 else 1.0
        n_proposals = n * min(ratio, max(RESERVE * _most_ratio(chosen, n, end), 1.0))
        z, log_weights, every = _thinned(
            chosen.particles, n, n_proposals, target_share, least_effective, generator, end, progress
        )
        positions, u = _decoded(densities, z, generator)
    if not bool((every > -math.inf).any()):
        raise NotConvergedError(
            f"None of {len(every)} samples has a finite energy: the model has learnt nothing; train longer."
        )
    share = effective_share(log_weights, n)
    acceptances = chosen.particles.acceptances
    info = RefinementInfo(
        densities.evaluations,
        len(every),
        len(chosen.particles.schedule),
        sum(acceptances) / len(acceptances) if acceptances else math.nan,
        plain.share(1.0),
        share,
        monotonic() - began,
    )
    weight_statistics = WeightStatistics(
        n, n * share, clipped_effective_sample_size(log_weights), pareto_k(every), log_mean_weight(every)
    )
    return RefinedSamples(positions, u, log_weights, weight_statistics, info)


def effective_share(log_weights: Float[Tensor, " samples"], n: int) -> float:
    """Kish's effective sample size of the weights as a share of ``n``; 0 where no sample has any weight."""
    return effective_sample_size(log_weights) / n if bool((log_weights > -math.inf).any()) else 0.0


def _wanted(target_share: float) -> float:
    """The share to aim at: pilots, being smaller, see less of the weights' tail."""
    return min(MARGIN * target_share, 0.7 + 0.3 * target_share)


def _chosen(
    plain: Pilot,
    densities: LatentDensities,
    n: int,
    target_share: float,
    generator: torch.Generator,
    end: float,
) -> Pilot:
    """The way that is expected to give the share, or most of it, at the least cost in the time left."""
    wanted = _wanted(target_share)
    if plain.ratio_for(wanted) <= CHEAP * _most_ratio(plain, n, end):
        return plain
    pilots = [plain]
    n_pilot = min(max(n // 4, LEAST_PILOT), ANNEALING_PILOT)
    pilots_end = monotonic() + ANNEALING_PILOT_TIME * (end - monotonic())
    annealing = Annealing(densities, wrap=densities.wrap)
    for stage_loss in STAGE_LOSSES:
        each = GRADIENT_COST * annealing.n_leapfrog * plain.seconds_each  # seconds of a stage
        in_run = RESERVE * (end - monotonic()) / (n * each)
        in_plan = (pilots_end - monotonic()) / (PLAN_PARTICLES * each) - TUNING_ROUNDS
        most_stages = int(min(in_run, in_plan))
        if most_stages < 1:
            break
        start = densities.sample(PLAN_PARTICLES, generator)
        schedule = annealing.plan(start, stage_loss, generator, most_stages)
        if len(schedule) > len(pilots[-1].particles.schedule):
            pilots.append(run_pilot(WeightedLatents(densities, schedule), n_pilot, generator, pilots_end))
    size = min(len(pilot.log_weights) for pilot in pilots) // PARTS

    def worth(pilot: Pilot) -> tuple[float, float]:
        most = RESERVE * _most_ratio(pilot, n, end)
        if most < 1.0 and pilot.particles.schedule:
            return 0.0, -math.inf
        parts = pilot.parts(size)
        ratio = min(statistics.median(part.ratio_for(wanted) for part in parts), max(most, 1.0))
        share = statistics.median(part.share(min(ratio, size / LEAST_THINNED)) for part in parts)
        return min(share, wanted), -ratio * pilot.seconds_each

    return max(pilots, key=worth)


def _most_ratio(pilot: Pilot, n: int, end: float) -> float:
    """How many particles for each of ``n`` the time left pays for."""
    return max(end - monotonic(), 0.0) / (n * pilot.seconds_each)


def _thinned(
    particles: WeightedLatents,
    n: int,
    n_proposals: float,
    target_share: float,
    least_effective: float,
    generator: torch.Generator,
    end: float,
    progress: Callable[[float], None],
) -> tuple[Tensor, Tensor, Tensor]:
    """``n`` particles and log weights out of many proposals, and the log weights of all of these.

    They are thinned as they come. At least ``n`` are proposed, and more only until ``end``: the planned
    ``n_proposals``, and beyond these as many as it takes until ``target_share`` of the ``n`` are effective. A
    pilot sees less of the weights' tail than the proposals do, so that the plan alone may fall short. Then
    ``MORE`` times as many are planned: who looks after every chunk ends before a large weight more often than
    after it, and estimates too small a Z.
    """
    z, log_weights = particles.densities.sample(0, generator), torch.empty(0, dtype=torch.float64)
    log_weights = log_weights.to(z.device)
    every: list[Tensor] = []
    proposed = 0
    # ln Σw and ln Σw² of every proposal, kept up to date: Kish's size is (Σw)²/Σw².
    log_sum = log_squares = log_weights.new_tensor(-math.inf)
    planned = max(n, math.ceil(n_proposals))

    def falls_short() -> bool:
        return (
            effective_share(log_weights, n) < target_share
            or float((2.0 * log_sum - log_squares).exp()) < least_effective
        )

    chunk = chunk_size(z.device, CHUNK)
    while proposed < n or monotonic() < end:
        if proposed >= planned:
            if not falls_short():
                break
            planned = math.ceil(MORE * proposed)
        size = min(chunk, planned - proposed)
        more, more_weights = particles.draw(size, generator)
        every.append(more_weights)
        log_sum = torch.logaddexp(log_sum, more_weights.logsumexp(0))
        log_squares = torch.logaddexp(log_squares, (2.0 * more_weights).logsumexp(0))
        proposed += size
        z, log_weights = torch.cat((z, more)), torch.cat((log_weights, more_weights))
        kept, log_weights = thin(log_weights, n, generator)
        z = z[kept]
        progress(min(proposed / planned, 1.0))
    return z, log_weights + math.log(n / proposed), torch.cat(every)


@torch.no_grad()
def _decoded(densities: LatentDensities, z: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Positions, labelled at random, and reduced energies, +inf where p̃ is zero."""
    parts = []
    coordinates = densities.model.coordinates
    for chunk in z.split(chunk_size(z.device, CHUNK)):
        _, x, _ = densities.model.decode(densities.latent(chunk))
        u = densities.target.reduced_energy(x)
        densities.evaluations += len(chunk)
        inside = coordinates.contains(x)
        parts.append((coordinates.randomise_labels(x, generator), torch.where(inside, u, math.inf)))
    positions, energies = (torch.cat(part) for part in zip(*parts, strict=True))
    return positions, energies
