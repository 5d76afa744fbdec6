"""Data for the free energy of a trained state: fresh samples of its model, and frames that it has not seen.

The frames are of a new replica exchange, which starts at seed conformers and knows nothing of the model or
of the frames that it was trained on. The time step is shorter than that of training frames, since energies
enter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from boltzgen.progress import Spent, StageProgress, Stopwatch
from boltzgen.sampling.frames import thermal_dynamics
from boltzgen.sampling.tempering import ReplicaExchange, ReplicaState, temperature_ladder
from boltzgen.sampling.turns import BondTurns
from boltzgen.thermodynamics.estimators import WeightedData
from boltzgen.workflows.preparation import starting_positions
from boltzgen.workflows.sampling import draw
from boltzgen.workflows.trained_state import TrainedState

TIME_STEP = 0.001  # ps
STEPS_PER_FRAME = 50
MOST_LADDERS = 64
SETTLING_SHARE = 0.25
LEAST_SETTLING = 30  # rounds, 1.5 ps, however late it is: seed conformers are colder than the ensemble
LEAST_ROUNDS = 8
MOST_WEIGHED = 16_384  # frames whose density is computed
SEED_OFFSET = 1_000_003  # random numbers are others than those of the run


@dataclass(frozen=True, eq=False)
class Sampled:
    """Independent samples of the model: positions in nm, U/kT and ln q."""

    positions: Float[Tensor, "samples atoms 3"]
    reduced_energies: Float[np.ndarray, " samples"]
    log_prob: Float[np.ndarray, " samples"]

    @property
    def log_weights(self) -> Float[np.ndarray, " samples"]:
        """ln w = −u − ln q, −∞ for samples without weight."""
        log_weights = -self.reduced_energies - self.log_prob
        return np.where(np.isfinite(log_weights), log_weights, -np.inf)


@dataclass(frozen=True, eq=False)
class Frames:
    """Frames of ladders that kept the molecule's stereo, ladder by ladder.

    positions in nm, U/kT and ln q at the state's temperature, of as many frames as are weighed;
    ladder_energies: kJ/mol on every rung of every frame; temperatures of the rungs in K.
    """

    positions: Float[Tensor, "ladders each atoms 3"]
    reduced_energies: Float[np.ndarray, "ladders each"]
    log_prob: Float[np.ndarray, "ladders each"]
    ladder_energies: Float[np.ndarray, "frames ladders rungs"]
    temperatures: Float[np.ndarray, " rungs"]

    @property
    def log_weights(self) -> Float[np.ndarray, "ladders each"]:
        """ln w of the frames, +∞ for those that the model cannot make."""
        return -self.reduced_energies - self.log_prob


@dataclass(frozen=True, eq=False)
class StateData:
    """What is known of one state. ``frames`` is None where the energy is too costly for dynamics."""

    state: TrainedState
    samples: Sampled
    frames: Frames | None

    @property
    def weighted(self) -> WeightedData:
        """ln w of samples and frames."""
        return WeightedData.of(
            self.samples.log_weights, None if self.frames is None else self.frames.log_weights
        )


def drawn_samples(state: TrainedState, n: int, generator: torch.Generator, watch: Stopwatch) -> Sampled:
    """``n`` fresh samples of the model; where energies are costly those of its run, if they are as drawn."""
    ensemble = state.ensemble
    if not (state.is_costly and ensemble.density == "exact"):
        ensemble = draw(state.model, state.target, state.system.molecule, n, generator, watch)
    assert ensemble.log_prob is not None
    return Sampled(torch.from_numpy(ensemble.positions), ensemble.reduced_energies, ensemble.log_prob)


def joined(first: Sampled, second: Sampled) -> Sampled:
    """Samples of one model, drawn at two times."""
    return Sampled(
        torch.cat([first.positions, second.positions]),
        np.concatenate([first.reduced_energies, second.reduced_energies]),
        np.concatenate([first.log_prob, second.log_prob]),
    )


class LadderRun:
    """A replica exchange of ``state`` that can go on, on rungs from the ``coldest`` to the ``hottest`` K.

    The state's own temperature is a rung.
    """

    def __init__(
        self, state: TrainedState, coldest: float, hottest: float, generator: torch.Generator
    ) -> None:
        config, molecule = state.config, state.system.molecule
        self.state, self.generator = state, generator
        own = config.temperature
        lower = temperature_ladder(coldest, own, molecule.n_atoms)[:-1] if coldest < own else torch.empty(0)
        self.temperatures = torch.cat([lower, temperature_ladder(own, hottest, molecule.n_atoms)]).double()
        self.rung = len(lower)
        masses = torch.as_tensor(molecule.masses).float().to(state.device)
        kernel = thermal_dynamics(state.target, masses, TIME_STEP, config.frames.friction)
        self.n_ladders = min(config.frames.ladders, MOST_LADDERS)
        self.exchange = ReplicaExchange(
            kernel,
            self.temperatures,
            self.n_ladders,
            STEPS_PER_FRAME,
            BondTurns.of(molecule, state.device),
        )
        self.rounds = max(int(2 * config.frames.picoseconds / TIME_STEP / STEPS_PER_FRAME), LEAST_ROUNDS)
        self.walkers: ReplicaState | None = None
        self.positions: list[Tensor] = []
        self.energies: list[Tensor] = []

    def extend(self, watch: Stopwatch, spent: Spent) -> None:
        """More frames: as many again as a run has, or as come before ``spent`` says that the time is over."""
        settling = 0
        if self.walkers is None:
            starts = starting_positions(self.state.system.molecule, self.state.config.seed + SEED_OFFSET)
            self.walkers = self.exchange.init(starts.to(self.state.device), self.generator)
            settling = max(int(SETTLING_SHARE * self.rounds), LEAST_SETTLING)
        for index in range(settling):
            if index >= LEAST_SETTLING and spent() >= SETTLING_SHARE:
                break
            self.walkers, _ = self.exchange.run(self.walkers, 1, self.generator)
            watch.report(StageProgress("replica exchange", index / self.rounds, note="settling"))
        for index in range(settling, max(self.rounds, settling + LEAST_ROUNDS)):
            if index >= settling + LEAST_ROUNDS and spent() >= 1.0:
                break
            self.walkers, run = self.exchange.run(self.walkers, 1, self.generator)
            own = self.walkers.dynamics.public_positions[self.rung :: len(self.temperatures)].clone()
            self.positions.append(own)
            self.energies.append(run.energies[0])
            watch.report(StageProgress("replica exchange", index / self.rounds))

    @torch.no_grad()
    def frames(self) -> Frames:
        """All frames so far. Ladders in which any frame shows another stereoisomer are left out."""
        state = self.state
        every = max(1, math.ceil(len(self.positions) * self.n_ladders / MOST_WEIGHED))
        x = torch.stack(self.positions[::every], dim=1).cpu()  # ladders, frames
        kept = state.system.molecule.keeps_stereo(x.flatten(0, 1).numpy()).reshape(x.shape[:2]).all(axis=1)
        x = x[torch.from_numpy(kept)]
        flat = x.flatten(0, 1)
        coordinates = state.model.coordinates
        flat = torch.cat([coordinates.canonicalise(c.to(state.device)).cpu() for c in flat.split(4096)])
        energies = torch.stack(self.energies)[:, torch.from_numpy(kept).to(self.energies[0].device)]
        return Frames(
            flat.view_as(x),
            (energies[::every, :, self.rung].T.double().cpu() / state.target.kT).numpy(),
            state.log_prob(flat).view(x.shape[:2]).numpy(),
            energies.double().cpu().numpy(),
            self.temperatures.numpy(),
        )
