"""From a molecule's name to an untrained model: what every way of training starts from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from boltzgen.coordinates.build import build_coordinates
from boltzgen.coordinates.internal import MolecularCoordinates
from boltzgen.energies.compiler import compile_system
from boltzgen.energies.target import BoltzmannTarget
from boltzgen.errors import InputError
from boltzgen.models.flow import FlowModel
from boltzgen.molecules.molecule import Molecule
from boltzgen.sampling.frames import FramesConfig, ThermalFrames, thermal_frames
from boltzgen.systems import MolecularSystem, load_system
from boltzgen.workflows.config import SampleConfig
from boltzgen.workflows.progress import Stopwatch

SEED_CONFORMERS = 64
SYMMETRY_FRAMES = 256
SYMMETRY_TOLERANCE = 1e-3  # kT, in float64


def starting_positions(molecule: Molecule, seed: int) -> Tensor:
    """Conformers [n, atoms, 3] in nm where walkers start: embedded ones, and amides and esters turned over.

    Embedding makes secondary amides and esters on one side only, and dynamics hardly ever turns them.
    """
    seeds = molecule.seed_conformers(SEED_CONFORMERS, seed=seed)
    turned = molecule.turned_conformers(seeds)
    return torch.as_tensor(np.concatenate([seeds, turned])).float()


@dataclass(frozen=True)
class Preparation:
    """A molecule's target density, the frames of its dynamics, and a model in coordinates fitted to them.

    masses: [atoms] in dalton.
    """

    system: MolecularSystem
    target: BoltzmannTarget
    masses: Tensor
    frames: ThermalFrames
    model: FlowModel


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


def affordable_frames(config: SampleConfig) -> FramesConfig:
    """``config.frames``, shortened in proportion where the budget is under a minute."""
    if config.budget_seconds is None:
        return config.frames
    share = min(1.0, max(config.budget_seconds / 60.0, 0.1))
    return config.frames.model_copy(update={"picoseconds": share * config.frames.picoseconds})


def prepare(config: SampleConfig, generator: torch.Generator, watch: Stopwatch) -> Preparation:
    """Everything before training: molecule, energy, thermal frames, coordinates and an untrained model."""
    with watch.stage("seed conformers"):
        system = load_system(config.molecule, config.forcefield, config.solvent, config.release_constraints)
        molecule = system.molecule
        starts = starting_positions(molecule, config.seed)
    with watch.stage("energy"):
        target = BoltzmannTarget(compile_system(system.system), config.temperature)
    with watch.stage("dynamics", f"{config.frames.ladders} ladders of temperatures"):
        device = generator.device
        masses = torch.as_tensor(molecule.masses).float().to(device)
        frames = thermal_frames(target, masses, starts.to(device), affordable_frames(config), generator)
    with watch.stage("coordinates"):
        kept = torch.as_tensor(molecule.keeps_stereo(frames.positions.cpu().numpy()))
        if not kept.any():
            raise InputError(
                f"No thermal frame of '{molecule.smiles}' keeps its stereochemistry at"
                f" {config.temperature} K: give a lower temperature."
            )
        frames = frames.where(kept)
        energies = target.reduced_energy(frames.positions).double().cpu()
        coordinates = build_coordinates(molecule, frames.positions.double().cpu(), energies)
        _require_symmetric_energy(target, coordinates, frames.positions[:SYMMETRY_FRAMES], generator)
        model = FlowModel(coordinates, config.flow).float().to(device)
    return Preparation(system, target, masses, frames, model)


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
