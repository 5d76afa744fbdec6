"""Batched Langevin dynamics: many walkers of one molecule advance together on one energy.

The integrator is the leapfrog "middle" scheme (Zhang et al., J. Phys. Chem. A 123, 6056 (2019)), the one of
OpenMM's ``LangevinMiddleIntegrator``: one force evaluation a step, configurations accurate to second order in
the time step and exact for a harmonic oscillator. 1 dalton nm²/ps² is 1 kJ/mol: no conversion appears below.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from boltzgen import accelerators
from boltzgen.errors import EvaluationError, InputError
from boltzgen.units import thermal_energy


@runtime_checkable
class ForceTarget(Protocol):
    """What dynamics needs of a target: reduced energies, their gradients, and the kT they are in units of."""

    @property
    def kT(self) -> float: ...

    def reduced_energy_and_gradient(self, positions: Tensor) -> tuple[Tensor, Tensor]: ...


@dataclass(frozen=True)
class LangevinState:
    """What the next step needs. Batch last, nm, nm/ps, kJ/mol, kJ/(mol nm)."""

    positions: Float[Tensor, "3 atoms batch"]
    velocities: Float[Tensor, "3 atoms batch"]
    energy: Float[Tensor, " batch"]
    gradient: Float[Tensor, "3 atoms batch"]

    @property
    def public_positions(self) -> Float[Tensor, "batch atoms 3"]:
        return self.positions.permute(2, 1, 0)


@dataclass(frozen=True)
class LangevinInfo:
    """How many walkers blew up in this step and continue as copies of healthy ones."""

    replaced: int


@dataclass(frozen=True)
class Trajectory:
    """Frames of a run: positions in nm, potential energies in kJ/mol, and the walkers replaced on the way."""

    positions: Float[Tensor, "frames batch atoms 3"]
    energies: Float[Tensor, "frames batch"]
    replaced: int


@dataclass(frozen=True)
class Langevin:
    """Langevin dynamics of independent walkers on ``target``.

    masses: [atoms] in dalton. They do not enter the distribution of configurations, so equal or heavier
        hydrogens are a legitimate way to longer steps.
    time_step: ps. friction: 1/ps.
    temperature: K, one for all walkers or [batch]; by default the target's own.
    walker_groups: [batch] integers; a walker that blows up continues as a copy of a healthy one of its own
        group (replica exchange: of its own temperature). By default all walkers are one group.
    energy_bound: kT per atom above the median of all walkers at which one counts as blown up.
    recentre: move frames to the origin (float32 loses digits far from it); switch off in an external field.
    look_every: steps of ``run`` between looks for walkers that blew up, at most until the next frame; by
        default 1 on the CPU, and only at frames on a device that the host would have to wait for. A walker
        that was bad at any step since the last look is replaced.
    """

    target: ForceTarget
    masses: Float[Tensor, " atoms"]
    time_step: float = 0.001
    friction: float = 1.0
    temperature: float | Float[Tensor, " batch"] | None = None
    walker_groups: Tensor | None = None
    energy_bound: float = 50.0
    recentre: bool = True
    look_every: int | None = None

    def __post_init__(self) -> None:
        if not self.time_step > 0:
            raise InputError(f"The time step is {self.time_step} ps; give a positive one.")
        if not self.friction >= 0:
            raise InputError(f"The friction is {self.friction} /ps; give zero or more.")
        if not bool((self.masses > 0).all()):
            raise InputError("Langevin dynamics needs a positive mass for every atom.")

    @property
    def kT(self) -> float | Tensor:
        """kJ/mol; [batch] where walkers differ in temperature."""
        if self.temperature is None:
            return self.target.kT
        if isinstance(self.temperature, Tensor):
            return self.temperature * thermal_energy(1.0)
        return thermal_energy(self.temperature)

    def at_temperature(self, temperature: float | Tensor) -> Langevin:
        return replace(self, temperature=temperature)

    def init(
        self, positions: Float[Tensor, "batch atoms 3"], generator: torch.Generator | None = None
    ) -> LangevinState:
        """Walkers at ``positions`` (nm) with thermal velocities; bad starts are replaced like bad steps."""
        if positions.shape[1] != self.masses.shape[0]:
            raise InputError(
                f"{self.masses.shape[0]} masses were given for {positions.shape[1]} atoms; give one an atom."
            )
        x = positions.permute(2, 1, 0).contiguous()
        energy, gradient = self.energy_and_gradient(x)
        state = LangevinState(x, self._thermal_velocities(x, generator), energy, gradient)
        return self._replace(state, self._failed(state), generator)[0]

    def step(
        self, state: LangevinState, generator: torch.Generator | None = None
    ) -> tuple[LangevinState, LangevinInfo]:
        """One step: kick, half a drift, friction and noise, half a drift; one evaluation a walker."""
        stepped = self._advance(state, generator)
        stepped, replaced = self._replace(stepped, self._failed(stepped), generator)
        return stepped, LangevinInfo(replaced)

    def _advance(self, state: LangevinState, generator: torch.Generator | None) -> LangevinState:
        """A step that leaves walkers as they come."""
        decay = math.exp(-self.friction * self.time_step)
        kick = (-self.time_step / self.masses).to(state.positions)[:, None]
        velocities = torch.addcmul(state.velocities, kick, state.gradient)
        positions = state.positions.add(velocities, alpha=0.5 * self.time_step)
        noise = self._thermal_velocities(positions, generator)
        velocities.mul_(decay).add_(noise, alpha=math.sqrt(1.0 - decay**2))
        positions.add_(velocities, alpha=0.5 * self.time_step)
        energy, gradient = self.energy_and_gradient(positions)
        return LangevinState(positions, velocities, energy, gradient)

    def run(
        self,
        state: LangevinState,
        n_steps: int,
        generator: torch.Generator | None = None,
        frame_every: int | None = None,
    ) -> tuple[LangevinState, Trajectory]:
        """``n_steps`` steps, with a frame kept after every ``frame_every`` (default: none but the last)."""
        frame_every = max(n_steps, 1) if frame_every is None else frame_every
        if n_steps < 1 or frame_every < 1:
            raise InputError(
                f"A run of {n_steps} steps, a frame every {frame_every}: give at least one of each."
            )
        look_every = self.look_every or (
            frame_every if accelerators.costs_a_wait(state.positions.device) else 1
        )
        frames, energies, replaced = [], [], 0
        worst: Tensor | None = None  # energies since the last look
        for index in range(1, n_steps + 1):
            state = self._advance(state, generator)
            worst = state.energy if worst is None else torch.maximum(worst, state.energy)
            if index % look_every == 0 or index % frame_every == 0 or index == n_steps:
                state, n_failed = self._replace(state, self._failed(state, worst), generator)
                worst, replaced = None, replaced + n_failed
            if index % frame_every == 0:
                if self.recentre:
                    centre = state.positions.mean(dim=1, keepdim=True)
                    state = replace(state, positions=state.positions - centre)
                frames.append(state.public_positions)
                energies.append(state.energy)
        if not frames:
            frames, energies = [state.public_positions], [state.energy]
        return state, Trajectory(torch.stack(frames), torch.stack(energies), replaced)

    def energy_and_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Energies kJ/mol [batch] and gradients kJ/(mol nm) [3, atoms, batch] of batch-last positions."""
        with torch.no_grad():
            u, du = self.target.reduced_energy_and_gradient(x.permute(2, 1, 0))
        return u * self.target.kT, du.permute(2, 1, 0).contiguous() * self.target.kT

    def _thermal_velocities(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        noise = torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)
        inverse_masses = (1.0 / self.masses).to(x)[:, None]
        kT = self.kT.to(x) if isinstance(self.kT, Tensor) else self.kT
        return noise * (inverse_masses * kT).sqrt()

    def _failed(self, state: LangevinState, worst: Tensor | None = None) -> Tensor:
        """Which walkers have a non-finite or absurd energy, or had one, ``worst``: bool [batch]."""
        kT = self.kT.to(state.energy) if isinstance(self.kT, Tensor) else self.kT
        excess = (state.energy if worst is None else worst) - state.energy.nanmedian()
        failed = ~(excess < self.energy_bound * self.masses.shape[0] * kT)
        return failed | ~torch.isfinite(state.gradient.sum(dim=(0, 1)))

    def _replace(
        self, state: LangevinState, failed: Tensor, generator: torch.Generator | None
    ) -> tuple[LangevinState, int]:
        """Walkers that ``failed`` become copies of healthy ones with fresh velocities."""
        n_failed = int(failed.sum())
        if n_failed == 0:
            return state, 0
        source = self._donors(failed, generator)
        positions = state.positions[..., source]
        velocities = torch.where(failed, self._thermal_velocities(positions, generator), state.velocities)
        return LangevinState(
            positions, velocities, state.energy[source], state.gradient[..., source]
        ), n_failed

    def _donors(self, failed: Tensor, generator: torch.Generator | None) -> Tensor:
        """[batch] index of the walker that each walker continues from: itself if healthy."""
        groups = (
            torch.zeros_like(failed, dtype=torch.long) if self.walker_groups is None else self.walker_groups
        )
        source = torch.arange(failed.shape[0], device=failed.device)
        for group in groups[failed].unique():
            healthy = source[~failed & (groups == group)]
            if healthy.numel() == 0:
                raise EvaluationError(
                    "Every walker of a group has a non-finite or absurd energy; take a shorter time step "
                    "or better starting positions."
                )
            members = failed & (groups == group)
            chosen = torch.randint(
                healthy.numel(), (int(members.sum()),), generator=generator, device=failed.device
            )
            source[members] = healthy[chosen]
        return source
