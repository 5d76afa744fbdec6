"""Thermal frames of a molecule from its energy alone: hot walkers, cooled to the target temperature.

They whiten the stiff coordinates, show which basins there are, and warm the model up. Their basin
populations are those of a short quench, not of equilibrium: nothing but a start is taken from them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt
from torch import Tensor

from boltzgen.energies.target import BoltzmannTarget
from boltzgen.sampling.dynamics import Langevin

HYDROGEN_MASS = 4.0  # dalton: masses do not enter the configurational density, and this allows 2 fs steps


class FramesConfig(BaseModel):
    """Length of the dynamics. 256 walkers, 4 ps at three times the temperature and 3 ps at the target's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    walkers: PositiveInt = 256
    hot_factor: float = Field(default=3.0, ge=1.0)
    hot_steps: PositiveInt = 2000
    steps: PositiveInt = 1500
    frames_per_walker: PositiveInt = 100
    time_step: PositiveFloat = 0.002
    friction: PositiveFloat = 5.0


@dataclass(frozen=True)
class ThermalFrames:
    """Frames [n, atoms, 3] in nm at the target temperature, the walker of each, and walkers replaced."""

    positions: Float[Tensor, "frames atoms 3"]
    walker: Int[Tensor, " frames"]
    replaced: int

    def where(self, kept: Bool[Tensor, " frames"]) -> ThermalFrames:
        """The frames that are ``kept``."""
        kept = kept.to(self.walker.device)
        return replace(self, positions=self.positions[kept], walker=self.walker[kept])


def thermal_dynamics(
    target: BoltzmannTarget, masses: Float[Tensor, " atoms"], config: FramesConfig
) -> Langevin:
    """Langevin dynamics at the target's temperature with hydrogens made heavy."""
    heavy = masses.clamp_min(HYDROGEN_MASS)
    return Langevin(target, heavy, time_step=config.time_step, friction=config.friction)


def thermal_frames(
    target: BoltzmannTarget,
    masses: Float[Tensor, " atoms"],
    starts: Float[Tensor, "starts atoms 3"],
    config: FramesConfig,
    generator: torch.Generator,
) -> ThermalFrames:
    """Walkers from ``starts`` (nm, used in turn) through hot dynamics to frames at the target temperature.

    The first fifth of the cold run equilibrates and leaves no frames.
    """
    walkers = starts[torch.arange(config.walkers, device=starts.device) % len(starts)]
    dynamics = thermal_dynamics(target, masses, config)
    hot = dynamics.at_temperature(config.hot_factor * target.temperature)
    state, heated = hot.run(hot.init(walkers, generator), config.hot_steps, generator)
    settling = max(config.steps // 5, 1)
    state, settled = dynamics.run(state, settling, generator)
    every = max((config.steps - settling) // config.frames_per_walker, 1)
    _, run = dynamics.run(state, max(config.steps - settling, 1), generator, frame_every=every)
    n_frames = len(run.positions)
    return ThermalFrames(
        run.positions.flatten(0, 1),
        torch.arange(config.walkers, device=starts.device).repeat(n_frames),
        heated.replaced + settled.replaced + run.replaced,
    )
