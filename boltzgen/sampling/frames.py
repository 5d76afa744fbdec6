"""Thermal frames of a molecule from its energy alone: replica exchange, as short as it may be.

They whiten the stiff coordinates, show which basins there are and about how populated, warm the model up, and
test it when it is trained. Their populations carry the noise of a short run: no result is taken from them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt
from torch import Tensor

from boltzgen.energies.target import BoltzmannTarget
from boltzgen.sampling.dynamics import Langevin
from boltzgen.sampling.tempering import ReplicaExchange, temperature_ladder
from boltzgen.sampling.turns import BondTurns

HYDROGEN_MASS = 4.0  # dalton: masses do not enter the configurational density, and this allows 2 fs steps
SETTLING_SHARE = 0.2


class FramesConfig(BaseModel):
    """Size of the replica exchange.

    ``ladders`` up to ``hot_factor`` times the temperature, each ``picoseconds`` long, with a round of
    exchanges and a frame every ``steps_per_frame`` steps.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    ladders: PositiveInt = Field(default=128, ge=2)
    hot_factor: float = Field(default=3.0, gt=1.0)
    picoseconds: PositiveFloat = 15.0
    steps_per_frame: PositiveInt = 50
    time_step: PositiveFloat = 0.002
    friction: PositiveFloat = 5.0


@dataclass(frozen=True)
class ThermalFrames:
    """Frames [n, atoms, 3] in nm at the target temperature, the ladder of each, and walkers replaced."""

    positions: Float[Tensor, "frames atoms 3"]
    ladder: Int[Tensor, " frames"]
    replaced: int

    def where(self, kept: Bool[Tensor, " frames"]) -> ThermalFrames:
        """The frames that are ``kept``."""
        kept = kept.to(self.ladder.device)
        return replace(self, positions=self.positions[kept], ladder=self.ladder[kept])


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
) -> ThermalFrames:
    """Frames from ladders whose walkers start at ``starts`` (nm, used in turn), in the order of time.

    ``turns`` help them over the barriers of single bonds. The first fifth of the run settles and leaves no
    frames.
    """
    coldest = target.temperature
    temperatures = temperature_ladder(coldest, config.hot_factor * coldest, target.n_atoms)
    dynamics = thermal_dynamics(target, masses, config.time_step, config.friction)
    exchange = ReplicaExchange(dynamics, temperatures, config.ladders, config.steps_per_frame, turns)
    rounds = max(int(config.picoseconds / config.time_step / config.steps_per_frame), 5)
    settling = max(int(SETTLING_SHARE * rounds), 1)
    state, settled = exchange.run(exchange.init(starts, generator), settling, generator, frame_every=settling)
    _, run = exchange.run(state, rounds - settling, generator)
    ladders = torch.arange(config.ladders, device=starts.device)
    return ThermalFrames(
        run.positions.flatten(0, 1), ladders.repeat(len(run.positions)), settled.replaced + run.replaced
    )
