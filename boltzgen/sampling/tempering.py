"""Batched replica exchange: independent ladders of temperatures advance together and give error bars.

Neighbouring temperatures i, j of a ladder exchange configurations with probability min(1, exp[(β_i − β_j)
(U_i − U_j)]) (Swendsen and Wang 1986; Sugita and Okamoto 1999), even and odd pairs in turn. Ladders never
exchange anything, save where a walker that blew up continues from another ladder's (counted, and rare).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from boltzgen.errors import InputError
from boltzgen.sampling.dynamics import Langevin, LangevinState
from boltzgen.sampling.importance import Estimate
from boltzgen.sampling.turns import BondTurns
from boltzgen.units import thermal_energy

ACCEPTANCE_WIDTH = 1.2  # spacing √(f/2) Δ ln T that exchanges f harmonic degrees of freedom four times in ten


def temperature_ladder(lowest: float, highest: float, n_atoms: int) -> Float[Tensor, " rungs"]:
    """Geometric temperatures in K, so close that about 40 % of exchanges succeed for ``n_atoms`` atoms."""
    if not 0 < lowest < highest:
        raise InputError(
            f"A ladder from {lowest} K to {highest} K: give temperatures that rise from above zero."
        )
    freedom = max(3 * n_atoms - 6, 1)
    n_steps = math.ceil(math.log(highest / lowest) * math.sqrt(freedom / 2) / ACCEPTANCE_WIDTH)
    return torch.logspace(math.log10(lowest), math.log10(highest), n_steps + 1, dtype=torch.float64)


@dataclass(frozen=True)
class ReplicaState:
    """Walkers ladder by ladder, lowest temperature first; which pairs swap next; who has been where.

    replica: which of its ladder's starting walkers sits on each rung. last_end: of each replica the end of
    the ladder visited last, 0 the cold one, 1 the hot one. trips: of each ladder, hot-to-cold passages.
    """

    dynamics: LangevinState
    parity: int
    replica: Int[Tensor, "ladders rungs"]
    last_end: Int[Tensor, "ladders rungs"]
    trips: Int[Tensor, " ladders"]


@dataclass(frozen=True)
class ReplicaInfo:
    """Exchanges tried and accepted between each rung and the next, over all ladders; walkers replaced."""

    tried: Int[Tensor, " pairs"]
    accepted: Int[Tensor, " pairs"]
    replaced: int


@dataclass(frozen=True)
class ReplicaTrajectory:
    """Frames of the lowest temperature in nm, and what happened on the way.

    energies: kJ/mol on every rung; those of ``positions`` are ``energies[:, :, 0]``. acceptance: share of
    exchanges between each rung and the next. round_trips: hot-to-cold passages of each ladder.
    """

    positions: Float[Tensor, "frames ladders atoms 3"]
    energies: Float[Tensor, "frames ladders rungs"]
    acceptance: Float[Tensor, " pairs"]
    round_trips: Int[Tensor, " ladders"]
    replaced: int


@dataclass(frozen=True)
class ReplicaExchange:
    """``n_ladders`` independent ladders of ``temperatures`` (K, ascending), moved by ``kernel``.

    The kernel's own temperature and walker groups do not matter. At least two ladders, for the error bars.
    Before every round of exchanges each walker tries ``turns_per_swap`` of the ``turns``, if there are any.
    """

    kernel: Langevin
    temperatures: Float[Tensor, " rungs"]
    n_ladders: int = 8
    steps_per_swap: int = 100
    turns: BondTurns | None = None
    turns_per_swap: int = 4

    def __post_init__(self) -> None:
        rising = bool((self.temperatures.diff() > 0).all()) and float(self.temperatures[0]) > 0
        if self.temperatures.numel() < 2 or not rising:
            raise InputError("Replica exchange needs two or more temperatures that rise from above zero.")
        if self.n_ladders < 2 or self.steps_per_swap < 1:
            raise InputError(
                f"Replica exchange with {self.n_ladders} ladders and {self.steps_per_swap} steps between "
                "swaps: give at least 2 ladders and 1 step."
            )

    @property
    def n_rungs(self) -> int:
        return self.temperatures.numel()

    def init(
        self, starts: Float[Tensor, "starts atoms 3"], generator: torch.Generator | None = None
    ) -> ReplicaState:
        """Walkers from ``starts`` (nm), used in turn along and across the ladders."""
        n = self.n_ladders * self.n_rungs
        walkers = starts[torch.arange(n, device=starts.device) % len(starts)]
        dynamics = self._moves.init(walkers, generator)
        replica = torch.arange(self.n_rungs, device=walkers.device).repeat(self.n_ladders, 1)
        trips = torch.zeros(self.n_ladders, dtype=torch.long, device=walkers.device)
        return ReplicaState(dynamics, 0, replica, torch.zeros_like(replica), trips)

    def step(
        self, state: ReplicaState, generator: torch.Generator | None = None
    ) -> tuple[ReplicaState, ReplicaInfo]:
        """``steps_per_swap`` steps of every walker, then turns and one round of exchanges."""
        dynamics, trajectory = self._moves.run(state.dynamics, self.steps_per_swap, generator)
        if self.turns is not None:
            for _ in range(self.turns_per_swap):
                dynamics, _ = self.turns.attempt(self._moves, dynamics, generator)
        state, tried, accepted = self._swap(replace(state, dynamics=dynamics), generator)
        return state, ReplicaInfo(tried, accepted, trajectory.replaced)

    def run(
        self,
        state: ReplicaState,
        n_steps: int,
        generator: torch.Generator | None = None,
        frame_every: int = 1,
    ) -> tuple[ReplicaState, ReplicaTrajectory]:
        """``n_steps`` rounds of dynamics and exchange, with a frame after every ``frame_every`` of them."""
        if n_steps < frame_every or frame_every < 1:
            raise InputError(
                f"{n_steps} rounds with a frame every {frame_every}: ask for at least one frame."
            )
        tried = torch.zeros(self.n_rungs - 1, dtype=torch.long, device=state.replica.device)
        accepted, replaced, before = torch.zeros_like(tried), 0, state.trips
        frames, energies = [], []
        for index in range(1, n_steps + 1):
            state, info = self.step(state, generator)
            tried, accepted, replaced = tried + info.tried, accepted + info.accepted, replaced + info.replaced
            if index % frame_every == 0:
                frames.append(state.dynamics.public_positions[:: self.n_rungs])
                energies.append(state.dynamics.energy.view(self.n_ladders, self.n_rungs))
        acceptance = accepted.double() / tried.clamp(min=1)
        trips = state.trips - before
        return state, ReplicaTrajectory(
            torch.stack(frames), torch.stack(energies), acceptance, trips, replaced
        )

    @cached_property
    def _temperatures(self) -> Tensor:
        """The temperatures where the walkers are."""
        return self.temperatures.to(self.kernel.masses.device)

    @cached_property
    def _moves(self) -> Langevin:
        rungs = torch.arange(self.n_rungs, device=self._temperatures.device).repeat(self.n_ladders)
        return replace(self.kernel, temperature=self._temperatures[rungs], walker_groups=rungs)

    def _swap(
        self, state: ReplicaState, generator: torch.Generator | None
    ) -> tuple[ReplicaState, Tensor, Tensor]:
        """Exchange configurations between every second pair of neighbours; velocities are scaled to match."""
        device, rungs = state.replica.device, self.n_rungs
        temperatures = self._temperatures
        lower = torch.arange(state.parity, rungs - 1, 2, device=device)
        beta = 1.0 / (thermal_energy(1.0) * temperatures)
        energy = state.dynamics.energy.view(self.n_ladders, rungs).double()
        log_ratio = (beta[lower] - beta[lower + 1]) * (energy[:, lower] - energy[:, lower + 1])
        uniform = torch.rand(log_ratio.shape, generator=generator, dtype=torch.float64, device=device)
        accept = uniform.log() < log_ratio
        source = torch.arange(rungs, device=device).repeat(self.n_ladders, 1)
        source[:, lower] += accept.long()
        source[:, lower + 1] -= accept.long()
        walker = (source + rungs * torch.arange(self.n_ladders, device=device)[:, None]).flatten()
        scale = (temperatures / temperatures[source]).sqrt().flatten()
        old = state.dynamics
        dynamics = LangevinState(
            old.positions[..., walker],
            old.velocities[..., walker] * scale.to(old.velocities),
            old.energy[walker],
            old.gradient[..., walker],
        )
        replica = state.replica.gather(1, source)
        last_end, trips = state.last_end.clone(), state.trips.clone()
        cold = replica[:, :1]
        trips += last_end.gather(1, cold)[:, 0]
        last_end.scatter_(1, cold, 0)
        last_end.scatter_(1, replica[:, -1:], 1)
        none = torch.zeros(rungs - 1, dtype=torch.long, device=device)
        tried = none.index_fill(0, lower, self.n_ladders)
        accepted = none.index_copy(0, lower, accept.sum(dim=0))
        return ReplicaState(dynamics, 1 - state.parity, replica, last_end, trips), tried, accepted


@dataclass(frozen=True)
class LadderEstimate:
    """A mean over frames and ladders, its standard error between ladders, and two figures on its quality.

    effective_sample_size: independent frames that would give this error. drift: difference between the
    earlier and the later half of the frames in units of its own standard error; beyond ±3 the run has not
    converged.
    """

    mean: Estimate
    effective_sample_size: float
    drift: float


def ladder_estimate(values: Float[Tensor, "frames ladders"]) -> LadderEstimate:
    """Of one observable along a run; ladders are independent, frames of one ladder need not be."""
    values = values.detach().double()
    n_frames, n_ladders = values.shape
    if n_frames < 2 or n_ladders < 2:
        raise InputError(f"{n_frames} frames of {n_ladders} ladders give no error; take at least 2 of each.")
    ladders = values.mean(dim=0)
    stderr = float(ladders.std()) / math.sqrt(n_ladders)
    spread = float(values.std(correction=0))
    half = n_frames // 2
    change = values[:half].mean(dim=0) - values[-half:].mean(dim=0)
    change_error = float(change.std()) / math.sqrt(n_ladders)
    return LadderEstimate(
        Estimate(float(ladders.mean()), stderr),
        float(values.numel()) if stderr == 0 else min((spread / stderr) ** 2, float(values.numel())),
        0.0 if change_error == 0 else float(change.mean()) / change_error,
    )
