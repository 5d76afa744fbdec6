"""From a molecule's name to its problem: energy, frames of dynamics and coordinates fitted to them."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from boltzgen.coordinates.build import build_coordinates, in_label_order
from boltzgen.energies.compiler import compile_system
from boltzgen.energies.symmetry import EnergySymmetry, energy_symmetry
from boltzgen.energies.target import BoltzmannTarget
from boltzgen.ensemble import EQUIVALENCE_MARKS
from boltzgen.errors import InputError
from boltzgen.evaluation.ladders import enough_for_conformers
from boltzgen.molecules.molecule import Molecule
from boltzgen.molecules.stereo_check import require_readable
from boltzgen.molecules.symmetry import MolecularGraph
from boltzgen.problem import Problem, ProblemFrames
from boltzgen.progress import Stopwatch
from boltzgen.sampling.frames import (
    SETTLING_SHARE,
    Enough,
    FramesConfig,
    thermal_dynamics,
    thermal_frames,
)
from boltzgen.sampling.tempering import temperature_ladder
from boltzgen.sampling.turns import BondTurns
from boltzgen.systems import MolecularSystem, load_system
from boltzgen.workflows.config import SampleConfig, ends_by_time, whole_budget
from boltzgen.workflows.conformer_frames import frames_of_every_conformer

SEED_CONFORMERS = 64
SYMMETRY_FRAMES = 64
TRIALS, TRIAL_STEPS = 3, 4
TRIAL_WALKERS = 512
MOST_CUT = 4**6
SEEDS_SHARE = 0.2  # of the budget
FRAMES_SHARE, LEAST_FRAMES_SHARE = 0.25, 0.03  # of the budget
HIDDEN_CHIRALITY = (
    "the molecule is chiral at a centre between like branches, for which RDKit has no label: the samples are"
    " of one of the two mirror images, whose energies are equal"
)
HIDDEN_STEREO = (
    "'{}' leaves stereo open at a centre between like branches, as of a spiro compound, for which RDKit has"
    " no label: give an .sdf file with positions of the stereoisomer."
)
LEAST_LOCAL_SHARE = 0.6  # of the local dynamics, that is always done
LATE_SHARE, LATE_FRAMES = 0.4, 2048  # coordinates are fitted to fewer frames when so much of it is gone


def starting_positions(
    molecule: Molecule,
    seed: int,
    n_seeds: int = SEED_CONFORMERS,
    seconds: float | None = None,
    warn: Callable[[str], None] = lambda sentence: None,
) -> Tensor:
    """Conformers [n, atoms, 3] in nm where walkers start: embedded ones, and amides and esters turned over.

    Embedding makes secondary amides and esters on one side only, and labels prochiral atoms in either order:
    they are put in that of ``label_frame``, which dynamics then keeps. Of a molecule that is chiral where
    RDKit has no label they are all of one form, and ``warn`` is told. Raises InputError where RDKit's labels
    leave several forms that are no mirror images, unless the molecule came with positions, and where the
    stereo cannot be read from positions.
    """
    seeds = molecule.seed_conformers(n_seeds, seed=seed, seconds=seconds)
    turned = molecule.turned_conformers(seeds)
    starts = torch.as_tensor(np.concatenate([seeds, turned])).float()
    starts, mirrored, fits = in_label_order(molecule, torch.cat([label_frame(molecule), starts]))
    if not fits.all() and molecule.rdmol.GetNumConformers() == 0:
        raise InputError(HIDDEN_STEREO.format(molecule.smiles))
    if mirrored.any():
        warn(HIDDEN_CHIRALITY)
    starts = starts[1:][fits[1:]].float()
    require_readable(molecule, starts.numpy())
    return starts


def label_frame(molecule: Molecule) -> Tensor:
    """One conformer [1, atoms, 3] in nm, the same in every run; its order of prochiral labels is a domain's.

    Coordinates take the order from the first frame they are fitted to. Rings show why it matters: with the
    branches at an atom exchanged, an axial substituent has the torsions of an equatorial one.
    """
    return torch.as_tensor(molecule.first_conformer[None]).float()


def affordable_frames(
    config: SampleConfig,
    target: BoltzmannTarget,
    masses: Float[Tensor, " atoms"],
    starts: Float[Tensor, "starts atoms 3"],
    generator: torch.Generator,
    seconds: float | None = None,
) -> FramesConfig:
    """``config.frames``, made smaller where they would take over ``seconds`` on this machine.

    By default these are a quarter of the budget. A few steps of the dynamics tell what it costs. Fewer and
    shorter ladders and walkers share the cut, in steps of four, so that small differences in speed do not
    change a run. With a fixed number of training steps the frames are as they are.
    """
    frames = config.frames
    if not ends_by_time(config):
        return frames
    if seconds is None:
        seconds = FRAMES_SHARE * whole_budget(config, target.n_atoms)
    needed = seconds_of_frames(frames, target, masses, starts, generator)
    cut = 1
    while needed / cut > seconds and cut < MOST_CUT:
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


def seconds_of_frames(
    frames: FramesConfig,
    target: BoltzmannTarget,
    masses: Float[Tensor, " atoms"],
    starts: Float[Tensor, "starts atoms 3"],
    generator: torch.Generator,
) -> float:
    """Wall seconds that all dynamics of ``frames`` would take now, from a few steps of some walkers."""
    temperature = target.temperature
    rungs = len(temperature_ladder(temperature, frames.hot_factor * temperature, target.n_atoms))
    walkers = frames.ladders * rungs
    tried = min(walkers, TRIAL_WALKERS)
    x = starts[torch.arange(tried, device=starts.device) % len(starts)]
    dynamics = thermal_dynamics(target, masses, frames.time_step, frames.friction)
    state, _ = dynamics.run(dynamics.init(x, generator), 1, generator)
    times = [time.monotonic()]
    for _ in range(TRIALS):
        state, _ = dynamics.run(state, TRIAL_STEPS, generator)
        times.append(time.monotonic())
    # The median, since another process may hold one trial up.
    trial = statistics.median(after - before for before, after in pairwise(times))
    step = trial / TRIAL_STEPS / tried
    walker_picoseconds = walkers * frames.picoseconds + frames.walkers * frames.local_picoseconds
    return step * walker_picoseconds / frames.time_step


def prepare(
    config: SampleConfig,
    generator: torch.Generator,
    watch: Stopwatch,
    system: MolecularSystem | None = None,
    n_seeds: int = SEED_CONFORMERS,
) -> Problem:
    """Everything that comes before models: energy, frames of dynamics, and coordinates fitted to these.

    Parameters
    ----------
    config
        The run; what it says of models does not matter here.
    generator
        Draws all random numbers; its device is that of the frames.
    watch
        Is told of each stage.
    system
        The molecule and its force field, where they have been loaded already.
    n_seeds
        Conformers to embed.

    Notes
    -----
    In a run that is to end by time, dynamics is planned to fit its share of the budget, and ends with what
    it has if it turns out slower.

    Raises
    ------
    InputError
        Where the molecule cannot be used, or no frame keeps its stereochemistry.
    """
    device = generator.device
    with watch.stage("seed conformers"):
        system = system or load_system(
            config.molecule, config.forcefield, config.solvent, config.release_constraints
        )
        molecule = system.molecule
        budget = whole_budget(config, molecule.n_atoms) if ends_by_time(config) else None
        seconds = None if budget is None else SEEDS_SHARE * budget
        starts = starting_positions(molecule, config.seed, n_seeds, seconds, watch.warn).to(device)
    with watch.stage("energy"):
        target = BoltzmannTarget(compile_system(system.system), config.temperature)
        masses = torch.as_tensor(molecule.masses).float().to(device)
    with watch.stage("dynamics", f"{config.frames.ladders} ladders of temperatures"):
        allowed = _frames_seconds(budget, watch)
        size = affordable_frames(config, target, masses, starts, generator, allowed)
        turns, spent = BondTurns.of(molecule, device), watch.allowance(allowed)
        enough = _enough(molecule) if size.stop_early else None
        thermal = thermal_frames(target, masses, starts, size, generator, turns, spent, enough)
        size = with_shorter_local(size, thermal.frames_a_ladder)
    with watch.stage("coordinates"):
        thermal = thermal.where(molecule.keeps_stereo)
        if not len(thermal.positions):
            raise InputError(
                f"No thermal frame of '{molecule.smiles}' keeps its stereochemistry at"
                f" {config.temperature} K: give a lower temperature."
            )
    with watch.stage("local dynamics", f"{size.walkers} walkers in all conformers found"):
        spent = watch.allowance(_frames_seconds(budget, watch))
        local = frames_of_every_conformer(target, molecule, masses, thermal, size, generator, spent)
        local = torch.cat([label_frame(molecule).to(device), local])
    with watch.stage("coordinates"):
        if budget is not None and watch.elapsed > LATE_SHARE * budget:
            local = local[:: max(1, len(local) // LATE_FRAMES)]
        energies = target.reduced_energy(local)
        symmetry = symmetry_of(molecule, target, thermal.positions)
        coordinates = build_coordinates(
            molecule, local.double().cpu(), energies.double().cpu(), marks=symmetry.marks
        )
        coordinates = coordinates.to(device)
        thermal = replace(thermal, positions=coordinates.canonicalise(thermal.positions))
    return Problem(
        system, target, masses, coordinates, ProblemFrames(size, thermal, local, energies), symmetry
    )


def with_shorter_local(size: FramesConfig, frames_a_ladder: int) -> FramesConfig:
    """``size`` with less local dynamics where replica exchange ended early, after so many frames a ladder.

    What is easy to sample is also soon known within each conformer.
    """
    whole = (1.0 - SETTLING_SHARE) * size.picoseconds / size.time_step / size.steps_per_frame
    share = min(max(frames_a_ladder / whole, LEAST_LOCAL_SHARE), 1.0)
    return size.model_copy(update={"local_picoseconds": share * size.local_picoseconds})


def _enough(molecule: Molecule) -> Enough:
    """Whether frames show the conformers of ``molecule``, as ``thermal_frames`` asks."""
    return lambda x, energies: enough_for_conformers(molecule, x.cpu().numpy(), energies.cpu().numpy())


def _frames_seconds(budget: float | None, watch: Stopwatch) -> float | None:
    """Seconds that dynamics may take from now on: its share of ``budget``, or half of what is left of it."""
    if budget is None:
        return None
    return min(FRAMES_SHARE * budget, max(0.5 * (budget - watch.elapsed), LEAST_FRAMES_SHARE * budget))


def symmetry_of(
    molecule: Molecule, target: BoltzmannTarget, frames: Float[Tensor, "frames atoms 3"]
) -> EnergySymmetry:
    """The symmetry of ``molecule`` that its energy keeps, judged by some of the ``frames`` (nm)."""
    some = frames[:: max(1, len(frames) // SYMMETRY_FRAMES)][:SYMMETRY_FRAMES]
    return energy_symmetry(MolecularGraph.from_rdmol(molecule.rdmol), target, some)


def equivalence_facts(symmetry: EnergySymmetry) -> dict[str, Any]:
    """What a summary says of equivalent atoms that the energy distinguishes; nothing where there are none."""
    return {EQUIVALENCE_MARKS: list(symmetry.marks)} if symmetry.distinguished else {}
