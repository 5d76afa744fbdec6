"""From a molecule's name to an untrained model: what every way of training starts from."""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from boltzgen.coordinates.build import build_coordinates
from boltzgen.coordinates.internal import MolecularCoordinates
from boltzgen.energies.compiler import compile_system
from boltzgen.energies.target import BoltzmannTarget
from boltzgen.ensemble import Ensemble
from boltzgen.errors import InputError
from boltzgen.models.model import Internal, Model
from boltzgen.molecules.molecule import Molecule
from boltzgen.sampling.frames import FramesConfig, ThermalFrames, thermal_dynamics, thermal_frames
from boltzgen.sampling.tempering import temperature_ladder
from boltzgen.sampling.turns import BondTurns
from boltzgen.systems import MolecularSystem, load_system
from boltzgen.training.data import TrainingData
from boltzgen.training.families import family
from boltzgen.workflows.config import SampleConfig, validated, whole_budget
from boltzgen.workflows.conformer_frames import conformer_frames, frames_of_every_conformer
from boltzgen.workflows.given_reference import load_reference
from boltzgen.workflows.progress import Stopwatch

SEED_CONFORMERS = 64
SYMMETRY_FRAMES = 256
TRIAL_STEPS = 4
FRAMES_SHARE = 0.25  # of the budget
SYMMETRY_TOLERANCE = 1e-3  # kT, in float64


def starting_positions(molecule: Molecule, seed: int) -> Tensor:
    """Conformers [n, atoms, 3] in nm where walkers start: embedded ones, and amides and esters turned over.

    Embedding makes secondary amides and esters on one side only.
    """
    seeds = molecule.seed_conformers(SEED_CONFORMERS, seed=seed)
    turned = molecule.turned_conformers(seeds)
    return torch.as_tensor(np.concatenate([seeds, turned])).float()


def label_frame(molecule: Molecule) -> Tensor:
    """One conformer [1, atoms, 3] in nm, the same in every run; its order of prochiral labels is a domain's.

    Coordinates take the order from the first frame they are fitted to. Rings show why it matters: with the
    branches at an atom exchanged, an axial substituent has the torsions of an equatorial one.
    """
    return torch.as_tensor(molecule.seed_conformers(1, seed=0)[:1]).float()


@dataclass(frozen=True)
class Preparation:
    """A molecule's target density, the frames of its dynamics, and a model in coordinates fitted to them.

    masses: [atoms] in dalton. size: of the replica exchange that was made. frames: at the target's
    temperature, about as populated as they should be.
    local: frames within every conformer of these (nm), to which the coordinates are fitted, with their
    local_energies (U/kT). tempered: frames of all temperatures (nm). reference: the ensemble that
    ``config.reference`` names.
    """

    system: MolecularSystem
    target: BoltzmannTarget
    masses: Tensor
    size: FramesConfig
    frames: ThermalFrames
    local: Float[Tensor, "frames atoms 3"]
    local_energies: Float[Tensor, " frames"]
    tempered: Float[Tensor, "others atoms 3"]
    model: Model
    reference: Ensemble | None = None


def select_device(name: str) -> str:
    """The device a person names; "auto" is a GPU where there is one. Raises InputError."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    usable = name == "cpu" or name.split(":")[0] == "cuda"
    try:
        torch.empty(0, device=name if usable else "nowhere")
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"Device '{name}' cannot be used here; give auto, cpu or cuda.") from error
    return name


def affordable_frames(
    config: SampleConfig,
    target: BoltzmannTarget,
    masses: Float[Tensor, " atoms"],
    starts: Float[Tensor, "starts atoms 3"],
    generator: torch.Generator,
) -> FramesConfig:
    """``config.frames``, made smaller where they would take over a quarter of the budget on this machine.

    A few steps of the dynamics tell what it costs. Fewer and shorter ladders and walkers share the cut, in
    steps of four, so that small differences in speed do not change a run. With a fixed number of training
    steps the frames are as they are.
    """
    frames = config.frames
    if config.training.max_steps is not None:
        return frames
    rungs = len(
        temperature_ladder(config.temperature, frames.hot_factor * config.temperature, target.n_atoms)
    )
    walkers = frames.ladders * rungs
    x = starts[torch.arange(walkers, device=starts.device) % len(starts)]
    dynamics = thermal_dynamics(target, masses, frames.time_step, frames.friction)
    state, _ = dynamics.run(dynamics.init(x, generator), 1, generator)
    began = time.monotonic()
    dynamics.run(state, TRIAL_STEPS, generator)
    step = (time.monotonic() - began) / TRIAL_STEPS
    local = frames.local_picoseconds * frames.walkers / walkers
    seconds = step * (frames.picoseconds + local) / frames.time_step
    cut = 1
    while seconds / cut > FRAMES_SHARE * whole_budget(config, target.n_atoms):
        cut *= 4
    each = math.isqrt(cut)
    return frames.model_copy(
        update={
            "ladders": max(frames.ladders // each, 2),
            "walkers": max(frames.walkers // each, 1),
            "picoseconds": frames.picoseconds / each,
            "local_picoseconds": frames.local_picoseconds / each,
        }
    )


def prepare(config: SampleConfig, generator: torch.Generator, watch: Stopwatch) -> Preparation:
    """Everything before training: molecule, energy, thermal frames, coordinates and an untrained model."""
    with watch.stage("seed conformers"):
        system = load_system(config.molecule, config.forcefield, config.solvent, config.release_constraints)
        molecule = system.molecule
        given = config.reference
        reference = None if given is None else load_reference(given, system, config.temperature)
        starts = starting_positions(molecule, config.seed)
    with watch.stage("energy"):
        target = BoltzmannTarget(compile_system(system.system), config.temperature)
    with watch.stage("dynamics", f"{config.frames.ladders} ladders of temperatures"):
        device = generator.device
        masses = torch.as_tensor(molecule.masses).float().to(device)
        starts = starts.to(device)
        size = affordable_frames(config, target, masses, starts, generator)
        frames = thermal_frames(target, masses, starts, size, generator, BondTurns.of(molecule, device))
    with watch.stage("coordinates"):
        kept = torch.as_tensor(molecule.keeps_stereo(frames.positions.cpu().numpy()))
        if not kept.any():
            raise InputError(
                f"No thermal frame of '{molecule.smiles}' keeps its stereochemistry at"
                f" {config.temperature} K: give a lower temperature."
            )
        frames = frames.where(kept)
        kept = torch.as_tensor(molecule.keeps_stereo(frames.of_all_temperatures.cpu().numpy())).to(device)
        tempered = frames.of_all_temperatures[kept]
    with watch.stage("local dynamics", f"{size.walkers} walkers in all conformers found"):
        local = frames_of_every_conformer(target, molecule, masses, frames, size, generator)
        local = torch.cat([label_frame(molecule).to(device), local])
    with watch.stage("coordinates"):
        energies = target.reduced_energy(local)
        coordinates = build_coordinates(molecule, local.double().cpu(), energies.double().cpu())
        _require_symmetric_energy(target, coordinates, frames.positions[:SYMMETRY_FRAMES], generator)
        frames = replace(frames, positions=coordinates.canonicalise(frames.positions))
        model = untrained_model(config.model, config.model_settings, coordinates, device)
    return Preparation(system, target, masses, size, frames, local, energies, tempered, model, reference)


def energy_data(prepared: Preparation, model: Model, generator: torch.Generator) -> TrainingData:
    """What a model that learns from the energy alone starts from: nothing but the energy's own frames."""
    return TrainingData(
        prepared.target,
        generator,
        internal_frames(model, prepared.frames.positions),
        conformers=conformer_frames(model, prepared.local, prepared.local_energies, prepared.tempered),
    )


def untrained_model(
    name: str, settings: dict[str, Any], coordinates: MolecularCoordinates, device: str | torch.device
) -> Model:
    """A new model of the family ``name``, in single precision, with coordinates of its own to train."""
    kind = family(name)
    return kind.build(copy.deepcopy(coordinates), validated(kind.config, **settings)).float().to(device)


@torch.no_grad()
def internal_frames(model: Model, positions: Float[Tensor, "frames atoms 3"]) -> Internal:
    """Internal coordinates of those ``positions`` (nm) that lie in the domain of the model's coordinates."""
    torsions, stiff, log_det = model.coordinates.from_positions(positions)
    inside = torch.isfinite(log_det + torsions.sum(1) + stiff.sum(1))
    return Internal(torsions[inside], stiff[inside])


def _require_symmetric_energy(
    target: BoltzmannTarget, coordinates: MolecularCoordinates, x: Tensor, generator: torch.Generator
) -> None:
    """Raises InputError where exchanging atoms that the graph calls equivalent changes the energy."""
    images = coordinates.to(x.device).randomise_labels(x, generator)
    change = float((target.reduced_energy(images.double()) - target.reduced_energy(x.double())).abs().max())
    if not change <= SYMMETRY_TOLERANCE:
        raise InputError(
            f"Exchanging equivalent atoms changes the energy by up to {change:.2g} kT: give a force field"
            " that has the same parameters for atoms that the molecular graph makes equivalent."
        )
