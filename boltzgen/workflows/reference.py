"""A reference ensemble by replica exchange on the compiled energy: slow, model-free, with honest errors."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, PositiveInt
from torch import Tensor

from boltzgen.coordinates.build import build_coordinates
from boltzgen.energies.compiler import compile_system
from boltzgen.energies.symmetry import EnergySymmetry
from boltzgen.energies.target import BoltzmannTarget
from boltzgen.ensemble import Ensemble
from boltzgen.errors import InputError
from boltzgen.evaluation.ladders import MAX_DRIFT, ladder_quality
from boltzgen.molecules.molecule import Molecule
from boltzgen.progress import Report, StageProgress, silent
from boltzgen.quantities import Kelvin, PerPicosecond, Picoseconds
from boltzgen.records.run import ReferenceFacts
from boltzgen.sampling.frames import thermal_dynamics
from boltzgen.sampling.tempering import (
    LadderEstimate,
    ReplicaExchange,
    ReplicaState,
    ReplicaTrajectory,
    ladder_estimate,
    temperature_ladder,
)
from boltzgen.sampling.turns import BondTurns
from boltzgen.settings import HIGHEST_TEMPERATURE, LARGEST_SEED
from boltzgen.systems import MolecularSystem
from boltzgen.workflows.preparation import equivalence_facts, label_frame, starting_positions, symmetry_of
from boltzgen.workflows.versions import package_versions

REPORTS = 50
LABELLING_FRAMES = 4096
INVERTED = "{:.2g} % of the frames show another stereoisomer; lower --hottest"
DRIFTED = "the two halves of the run differ in '{}' by over 4 standard errors; give it longer"


class ReferenceConfig(BaseModel):
    """Replica exchange in ladders up to ``hottest`` K; ``picoseconds`` on every rung, a tenth to settle."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    temperature: Kelvin = Field(default=300.0, gt=0)
    hottest: Kelvin = Field(default=900.0, gt=0, le=HIGHEST_TEMPERATURE)
    ladders: PositiveInt = Field(default=32, ge=2)
    picoseconds: Picoseconds = Field(default=400.0, gt=0, allow_inf_nan=False)
    time_step: Picoseconds = Field(default=0.001, gt=0)
    friction: PerPicosecond = Field(default=2.0, gt=0)
    steps_per_swap: PositiveInt = 100
    seed: int = Field(default=0, ge=0, le=LARGEST_SEED)


@dataclass(frozen=True)
class Reference:
    """Frames at the lowest temperature, frame after frame and ladder by ladder, and how good they are.

    ``energy``: ⟨U⟩ in kJ/mol with its error between ladders. ``converged``: the halves of the run agree.
    """

    ensemble: Ensemble
    n_ladders: int
    energy: LadderEstimate
    evaluations: int
    converged: bool

    def by_ladder(self, values: Tensor) -> Tensor:
        """One value a frame [frames·ladders] as [frames, ladders], for ``ladder_estimate``."""
        return values.reshape(-1, self.n_ladders)


def reference_ensemble(
    system: MolecularSystem, config: ReferenceConfig | None = None, report: Report = silent
) -> Reference:
    """Equally weighted frames of ``system`` at ``config.temperature``, worth as many as their errors say."""
    began = time.monotonic()
    config = config or ReferenceConfig()
    if not config.hottest > config.temperature:
        raise InputError(
            f"The ladder ends at {config.hottest} K, not above {config.temperature} K: raise --hottest."
        )
    generator = torch.Generator().manual_seed(config.seed)
    molecule = system.molecule
    target = BoltzmannTarget(compile_system(system.system), config.temperature)
    masses = torch.as_tensor(molecule.masses).float()
    kernel = thermal_dynamics(target, masses, config.time_step, config.friction)
    temperatures = temperature_ladder(config.temperature, config.hottest, molecule.n_atoms)
    exchange = ReplicaExchange(
        kernel, temperatures, config.ladders, config.steps_per_swap, BondTurns.of(molecule)
    )
    starts = starting_positions(molecule, config.seed)
    rounds = max(int(config.picoseconds / config.time_step / config.steps_per_swap), 2 * REPORTS)
    state, _ = exchange.run(exchange.init(starts, generator), max(rounds // 10, 1), generator)
    trajectory = _reported_run(exchange, state, rounds, generator, report)
    energies = trajectory.energies[:, :, 0]
    positions, symmetry = _labelled_as_samples(
        molecule, target, trajectory.positions.flatten(0, 1), generator
    )
    quality = ladder_quality(molecule, positions.view_as(trajectory.positions).numpy(), energies.numpy())
    kept = molecule.keeps_stereo(positions.numpy())
    inverted = float(1.0 - kept.mean())
    warnings = [] if abs(quality.drift) <= MAX_DRIFT else [DRIFTED.format(quality.most_drifting)]
    warnings += [INVERTED.format(100 * inverted)] if inverted > 0 else []
    converged = not warnings
    warnings += symmetry.warnings(molecule)
    ensemble = Ensemble.from_frames(
        molecule,
        positions,
        energies.flatten() / target.kT,
        config.temperature,
        quality.effective_sample_size,
        ReferenceFacts(
            forcefield=system.forcefield,
            solvent=system.solvent,
            seed=config.seed,
            n_energy_evaluations=target.evaluations,
            n_ladders=config.ladders,
            temperatures_K=temperatures.tolist(),
            exchange_acceptance=trajectory.acceptance.tolist(),
            round_trips=int(trajectory.round_trips.sum()),
            n_replaced_walkers=trajectory.replaced,
            slowest_observable=quality.slowest,
            largest_drift=quality.drift,
            share_of_other_stereo=inverted,
            converged=converged,
            warnings=warnings,
            **equivalence_facts(symmetry),
            device="cpu",
            versions=package_versions(),
            wall_seconds={"total": time.monotonic() - began},
        ).model_dump(),
    )
    if inverted < 1:  # frames of another stereoisomer are outside of what is sampled: they weigh nothing
        ensemble = replace(ensemble, log_weights=np.where(kept, ensemble.log_weights, -np.inf))
    return Reference(ensemble, config.ladders, ladder_estimate(energies), target.evaluations, converged)


@torch.no_grad()
def _labelled_as_samples(
    molecule: Molecule, target: BoltzmannTarget, x: Tensor, generator: torch.Generator
) -> tuple[Tensor, EnergySymmetry]:
    """Frames x (nm), labels of equivalent atoms as ``boltzgen sample`` has them: prochiral ones in order.

    Rotors' labels that the energy does not distinguish are drawn at random. Without a frame of the molecule's
    stereo x is left as it is.
    """
    symmetry = symmetry_of(molecule, target, x)
    some = x[:: max(1, len(x) // LABELLING_FRAMES)]
    some = some[torch.as_tensor(molecule.keeps_stereo(some.numpy()))]
    if not len(some):
        return x, symmetry
    frames = torch.cat([label_frame(molecule), some]).double()
    coordinates = build_coordinates(molecule, frames, marks=symmetry.marks)
    chunks = [coordinates.canonicalise(chunk) for chunk in x.split(LABELLING_FRAMES)]
    return torch.cat([coordinates.randomise_labels(chunk, generator) for chunk in chunks]), symmetry


def _reported_run(
    exchange: ReplicaExchange, state: ReplicaState, rounds: int, generator: torch.Generator, report: Report
) -> ReplicaTrajectory:
    parts: list[ReplicaTrajectory] = []
    for index in range(REPORTS):
        state, part = exchange.run(state, rounds // REPORTS, generator)
        parts.append(part)
        report(StageProgress("replica exchange", (index + 1) / REPORTS))
    return ReplicaTrajectory(
        torch.cat([part.positions for part in parts]),
        torch.cat([part.energies for part in parts]),
        torch.stack([part.acceptance for part in parts]).mean(0),
        torch.stack([part.round_trips for part in parts]).sum(0),
        sum(part.replaced for part in parts),
    )
