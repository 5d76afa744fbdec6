"""Thermal frames of a molecule from its energy alone: replica exchange, as short as it may be.

They show which basins there are and about how populated, and test the model when it is trained. Dynamics that
goes on from them within each basin whitens the stiff coordinates and guides the training. Their populations
carry the noise of a short run: no result is taken from them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import BaseModel, ConfigDict, Field, PositiveInt
from torch import Tensor

from boltzgen.energies.target import BoltzmannTarget
from boltzgen.progress import Spent, untimed
from boltzgen.quantities import PerPicosecond, Picoseconds
from boltzgen.sampling.dynamics import Langevin
from boltzgen.sampling.tempering import ReplicaExchange, temperature_ladder
from boltzgen.sampling.turns import BondTurns

HYDROGEN_MASS = 4.0  # dalton: masses do not enter the configurational density, and this allows 2 fs steps
SETTLING_SHARE = 0.2
TEMPERED_PARTS = 8
LEAST_ROUNDS = 4  # that leave frames, however late it is
FIRST_LOOK = 30  # rounds before it is first asked whether the frames are enough
LOOKS_APART = 1.2  # times as many rounds before the next time

Enough = Callable[[Float[Tensor, "frames ladders atoms 3"], Float[Tensor, "frames ladders"]], bool]
"""Whether frames (nm) of independent ladders in the order of time, with energies in kJ/mol, are enough."""


class FramesConfig(BaseModel):
    """Size of the replica exchange.

    ``ladders`` up to ``hot_factor`` times the temperature, each ``picoseconds`` long, with a round of
    exchanges and a frame every ``steps_per_frame`` steps. With ``stop_early`` it ends as soon as its frames
    tell enough of the conformers. Then ``walkers`` go on at the temperature itself, for ``local_picoseconds``
    each, with as many frames.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    ladders: PositiveInt = Field(default=128, ge=2)
    hot_factor: float = Field(default=3.0, gt=1.0)
    picoseconds: Picoseconds = Field(default=15.0, gt=0)
    stop_early: bool = True
    steps_per_frame: PositiveInt = 50
    time_step: Picoseconds = Field(default=0.002, gt=0)
    friction: PerPicosecond = Field(default=5.0, gt=0)
    walkers: PositiveInt = 512
    local_picoseconds: Picoseconds = Field(default=10.0, gt=0)


@dataclass(frozen=True)
class ThermalFrames:
    """Frames [n, atoms, 3] in nm at the target temperature, the ladder of each, and walkers replaced.

    frames_a_ladder: as many as each made. tempered: frames of every rung, some from each part of the run.
    """

    positions: Float[Tensor, "frames atoms 3"]
    ladder: Int[Tensor, " frames"]
    replaced: int
    frames_a_ladder: int
    tempered: Float[Tensor, "others atoms 3"]

    def where(self, keeps: Callable[[np.ndarray], np.ndarray]) -> ThermalFrames:
        """The frames of which ``keeps(positions [n, atoms, 3])`` is true, at every temperature."""
        cold, tempered = (
            torch.as_tensor(keeps(x.cpu().numpy())).to(x.device) for x in (self.positions, self.tempered)
        )
        return ThermalFrames(
            self.positions[cold],
            self.ladder[cold],
            self.replaced,
            self.frames_a_ladder,
            self.tempered[tempered],
        )


def thermal_dynamics(
    target: BoltzmannTarget, masses: Float[Tensor, " atoms"], time_step: float, friction: float
) -> Langevin:
    """Langevin dynamics at the target's temperature with hydrogens made heavy."""
    return Langevin(target, masses.clamp_min(HYDROGEN_MASS), time_step=time_step, friction=friction)


def thermal_frames(
    target: BoltzmannTarget,
    masses: Float[Tensor, " atoms"],
    starts: Float[Tensor, "starts atoms 3"],
    config: FramesConfig,
    generator: torch.Generator,
    turns: BondTurns | None = None,
    spent: Spent = untimed,
    enough: Enough | None = None,
) -> ThermalFrames:
    """Frames from ladders whose walkers start at ``starts`` (nm, used in turn), in the order of time.

    ``turns`` help them over the barriers of single bonds. The first fifth of the run settles and leaves no
    frames. The run is shorter than ``config`` asks for where ``spent`` says that its time is over, or where
    the frames so far are ``enough``.
    """
    coldest = target.temperature
    temperatures = temperature_ladder(coldest, config.hot_factor * coldest, target.n_atoms)
    dynamics = thermal_dynamics(target, masses, config.time_step, config.friction)
    exchange = ReplicaExchange(dynamics, temperatures, config.ladders, config.steps_per_frame, turns)
    rounds = max(int(config.picoseconds / config.time_step / config.steps_per_frame), 5)
    settling = max(int(SETTLING_SHARE * rounds), 1)
    if enough is not None:  # what is to settle is a fifth of a run whose length is not known yet
        settling = min(settling, int(SETTLING_SHARE * FIRST_LOOK))
    state, replaced = exchange.init(starts, generator), 0
    for index in range(settling):
        if index and spent() >= SETTLING_SHARE:
            break
        state, run = exchange.run(state, 1, generator)
        replaced += run.replaced
    cold, energies, tempered = [], [], []
    left = rounds - settling
    part = math.ceil(left / TEMPERED_PARTS)
    look = FIRST_LOOK
    for index in range(left):
        if index >= LEAST_ROUNDS and spent() >= 1.0:
            break
        state, run = exchange.run(state, 1, generator)
        cold.append(run.positions)
        energies.append(run.energies[:, :, 0])
        replaced += run.replaced
        if (index + 1) % part == 0 or index + 1 == left:
            tempered.append(state.dynamics.public_positions)
        made = settling + index + 1
        if enough is not None and made >= look and index + 1 < left:
            look = math.ceil(LOOKS_APART * made)
            late = _unsettled(settling, len(cold))
            if enough(torch.cat(cold[late:]), torch.cat(energies[late:])):
                break
    tempered = tempered or [state.dynamics.public_positions]
    positions = torch.cat(cold if enough is None else cold[_unsettled(settling, len(cold)) :])
    ladders = torch.arange(config.ladders, device=starts.device).repeat(len(positions))
    return ThermalFrames(positions.flatten(0, 1), ladders, replaced, len(positions), torch.cat(tempered))


def _unsettled(settled: int, made: int) -> int:
    """How many of the frames ``made`` after ``settled`` rounds are still in the first fifth of all rounds."""
    return max(int(SETTLING_SHARE * (settled + made)) - settled, 0)


def local_frames(
    dynamics: Langevin,
    starts: Float[Tensor, "walkers atoms 3"],
    config: FramesConfig,
    generator: torch.Generator,
    spent: Spent = untimed,
) -> tuple[Float[Tensor, "frames atoms 3"], int]:
    """Frames (nm) of walkers that go on from ``starts``, and how many of them had to be replaced.

    They hardly leave the basins they start in: the share of a basin is that of its starts. There are fewer
    frames where ``spent`` says that the time is over.
    """
    steps = max(int(config.local_picoseconds / config.time_step), config.steps_per_frame)
    state, replaced = dynamics.init(starts, generator), 0
    frames: list[Tensor] = []
    for _ in range(steps // config.steps_per_frame):
        if frames and spent() >= 1.0:
            break
        state, run = dynamics.run(state, config.steps_per_frame, generator)
        frames.append(run.positions)
        replaced += run.replaced
    return torch.cat(frames).flatten(0, 1), replaced
