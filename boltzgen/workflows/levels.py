"""From a cheap level of theory to a costly one: a flow of MMFF94 becomes one of GFN2.

An energy that a program computes takes milliseconds where formulas take microseconds, so that dynamics and a
whole training are out of reach. A flow that has been trained on a force field is near already. Its samples
are weighed by the costly energy; the gradients of these samples give the linear map that takes one level's
bond lengths, angles and widths to the other's (``coordinates/stiff_shift.py``); then reverse KL on the costly
energy trains what is left. Weights are exact after every step: a step buys effective samples, nothing else.
"""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from boltzgen.coordinates.stiff_shift import BasinMap, basins_of
from boltzgen.energies.compiler import compile_system
from boltzgen.energies.target import BoltzmannTarget
from boltzgen.errors import InputError
from boltzgen.forcefields.parametrise import is_program
from boltzgen.models.flow import FlowModel
from boltzgen.models.model import Internal
from boltzgen.problem import Problem, ProblemFrames
from boltzgen.progress import Stopwatch
from boltzgen.records.run import LevelStep
from boltzgen.sampling.frames import ThermalFrames
from boltzgen.sampling.importance import (
    effective_sample_size,
    log_importance_weights,
    pareto_k,
    systematic_resample,
)
from boltzgen.systems import DEFAULT_FORCEFIELD, MolecularSystem, MoleculeInput, load_system
from boltzgen.training.data import TrainingData
from boltzgen.training.families import family, untrained_model
from boltzgen.training.result import TrainingResult
from boltzgen.workflows.config import SampleConfig, default_budget, require_room, wanted_share
from boltzgen.workflows.fitting import fitted, training_data
from boltzgen.workflows.level_map import move_to_level, weighed_samples
from boltzgen.workflows.preparation import prepare
from boltzgen.workflows.sample_facts import SampledRun
from boltzgen.workflows.sampling import draw_log_weights
from boltzgen.workflows.training_data import energy_data

START_SHARE = 0.25  # of the budget, for the cheap level
TIMES_LONGER = 4.0  # than a run on the cheap level, by default
ROUNDS = 2  # of samples, each of which betters the map
SAMPLES = 512  # a round
FRAMES = 512  # of the cheap level, weighed by the costly energy
TRAINING_SHARE = 0.4  # of the time left after the maps; the samples have the rest
LEAST_TRAINING_SECONDS = 1.0
WORSE = 0.7  # of the effective share that there was: below it, training is taken back
FRAMES_STAGE = "frames of the new level"
LEAST_EFFECTIVE_FRAMES = 50.0
FINE_TUNING: dict[str, Any] = {
    "objective": "reverse-kl",
    "warmup_share": 0.0,
    "hot_factor": 1.0,
    "anneal_share": 0.0,
    "learning_rate": 5e-4,
    "batch_size": 256,
    "processes": 1,  # the energy's own workers take the cores
}
"""Settings of the training on the costly energy, where ``config.training`` leaves them open."""
FEW_FRAMES = (
    "only {:.0f} of {} frames of {} are effective for {}: a conformer that the flow misses may go unnoticed"
)


def start_level(config: SampleConfig) -> str | None:
    """The force field that a flow is trained on before the run's own, None where there is none.

    Raises InputError where one is asked for, and the model is no flow.
    """
    if config.start_from == "auto":
        costly = config.forcefield is not None and is_program(config.forcefield.lower())
        return DEFAULT_FORCEFIELD if costly and config.model == "flow" else None
    if config.start_from == "none":
        return None
    if config.model != "flow":
        raise InputError(
            f"start_from = '{config.start_from}' is for model 'flow', not '{config.model}': leave it out."
        )
    return config.start_from


def level_budget(config: SampleConfig, molecule: MoleculeInput | None = None) -> SampleConfig:
    """``config`` with a budget, by default several times that of a run on the cheap level."""
    if config.budget_seconds is not None:
        return config
    system = load_system(molecule or config.molecule, config.forcefield, config.solvent)
    return config.model_copy(
        update={"budget_seconds": TIMES_LONGER * default_budget(system.molecule.n_atoms)}
    )


def start_config(start: str, config: SampleConfig) -> SampleConfig:
    """The run on the cheap level: in vacuum where it does not know the solvent."""
    return config.model_copy(
        update={
            "forcefield": start,
            "solvent": config.solvent if config.solvent in ("obc1", "obc2", "gbn2", "water") else None,
            "budget_seconds": None if config.budget_seconds is None else START_SHARE * config.budget_seconds,
            "start_from": "none",
        }
    )


def fitted_from(
    start: str,
    config: SampleConfig,
    generator: torch.Generator,
    watch: Stopwatch,
    molecule: MoleculeInput,
) -> SampledRun:
    """A flow of the energy of ``config`` for ``molecule``, trained on the force field ``start`` first.

    Raises InputError where either cannot describe the molecule.
    """
    with watch.stage("seed conformers"):
        system = load_system(molecule, config.forcefield, config.solvent, config.release_constraints)
        require_room(config.n_samples, system.molecule.n_atoms)
    target = BoltzmannTarget(compile_system(system.system), config.temperature)
    cheap = start_config(start, config)
    named = system.molecule if isinstance(molecule, MolecularSystem) else molecule
    problem = prepare(cheap, generator, watch, load_system(named, cheap.forcefield, cheap.solvent))
    model = untrained_model(config.model, config.model_settings, problem)
    assert isinstance(model, FlowModel)
    data, _ = training_data(cheap, problem, model, None, generator)
    fitted(cheap, problem, model, data, watch)

    before = copy.deepcopy(model)
    steps, maps, each = _mapped(start, model, target, generator, watch)
    with watch.stage(FRAMES_STAGE, f"{FRAMES} frames of {start}"):
        frames = _mapped_frames(problem, before, model, maps, target, generator)
        own = _own_problem(system, target, problem, model, frames, generator, watch)
    data = energy_data(own, model, generator)
    training = TrainingResult()
    if steps[-1].effective_sample_size_fraction < wanted_share(config):
        training, step = _fine_tuned(config, own, model, data, steps[-1], each, watch)
        steps.append(step)
    words = f"the energy of {config.forcefield}, after a training on {start}"
    figures = family(config.model).figures(model, data)
    return SampledRun(config, own, model, training, words, figures, level_steps=steps)


def _fine_tuned(
    config: SampleConfig,
    own: Problem,
    model: FlowModel,
    data: TrainingData,
    mapped: LevelStep,
    each: float,
    watch: Stopwatch,
) -> tuple[TrainingResult, LevelStep]:
    """Reverse KL on the costly energy for a share of the time left; ``each``: seconds of an evaluation.

    Where it leaves the model clearly worse than ``mapped``, the model is what it was.
    """
    update = {k: v for k, v in FINE_TUNING.items() if k not in config.training.model_fields_set}
    if config.training.max_steps is None and config.training.budget_seconds is None:
        assert config.budget_seconds is not None
        left = config.budget_seconds - watch.elapsed - (FRAMES + SAMPLES) * each
        update["budget_seconds"] = max(TRAINING_SHARE * left, LEAST_TRAINING_SECONDS)
    settings = config.training.model_copy(update=update)
    kept, before = copy.deepcopy(model.state_dict()), own.target.evaluations
    training = fitted(
        config.model_copy(update={"training": settings}),
        own,
        model,
        replace(data, conformers=None),
        watch,
        watched=False,
    )
    evaluations = own.target.evaluations - before
    log_weights = draw_log_weights(model, own.target, SAMPLES, data.generator)
    step = _step("fine-tuned by reverse KL", log_weights, training.seconds, evaluations)
    if step.effective_sample_size_fraction < WORSE * mapped.effective_sample_size_fraction:
        model.load_state_dict(kept)
        step = step.model_copy(update={"step": "fine-tuned by reverse KL, not kept"})
    return training, step


def _mapped(
    start: str, model: FlowModel, target: BoltzmannTarget, generator: torch.Generator, watch: Stopwatch
) -> tuple[list[LevelStep], list[list[BasinMap]], float]:
    """The steps that map ``model`` to the level of ``target``, the maps, and seconds for an evaluation."""
    steps: list[LevelStep] = []
    maps: list[list[BasinMap]] = []
    note = f"{SAMPLES} samples of the flow of {start}"
    while True:
        with watch.stage("level of theory", note):
            began = time.monotonic()
            found = weighed_samples(model, target, SAMPLES, generator)
            seconds = time.monotonic() - began
            name = f"stiff coordinates mapped, {len(maps)}" if maps else f"flow of {start}, reweighted"
            steps.append(_step(name, found.log_weights, seconds, SAMPLES))
            if len(maps) == ROUNDS:
                return steps, maps, seconds / SAMPLES
            maps.append(move_to_level(model, found))
        note = f"{100 * steps[-1].effective_sample_size_fraction:.1f} % effective"


def _step(name: str, log_weights: Tensor, seconds: float, evaluations: int) -> LevelStep:
    n = len(log_weights)
    some = bool(torch.isfinite(log_weights).any())
    return LevelStep(
        step=name,
        seconds=seconds,
        evaluations=evaluations,
        n_samples=n,
        effective_sample_size_fraction=effective_sample_size(log_weights) / n if some else 0.0,
        pareto_k=pareto_k(log_weights) if some else math.inf,
    )


@dataclass(frozen=True)
class MappedFrames:
    """Frames of the cheap level mapped to the costly one: nm, u there, and weights −u' + u + ln |∂x'/∂x|."""

    positions: Float[Tensor, "frames atoms 3"]
    reduced_energies: Float[Tensor, " frames"]
    log_weights: Float[Tensor, " frames"]


@torch.no_grad()
def _mapped_frames(
    cheap: Problem,
    before: FlowModel,
    model: FlowModel,
    maps: list[list[BasinMap]],
    target: BoltzmannTarget,
    generator: torch.Generator,
) -> MappedFrames:
    """Frames of ``cheap``, back through the flow as it was ``before``, and forth through ``model``."""
    positions = cheap.frames.thermal.positions
    order = torch.randperm(len(positions), generator=generator, device=positions.device)[:FRAMES]
    torsions, stiff, log_det = before.coordinates.from_positions(positions[order])
    inside = torch.isfinite(log_det + torsions.sum(1) + stiff.sum(1))
    old = positions[order][inside]
    latent, change = before.inverse(Internal(torsions[inside], stiff[inside]))
    log_volume = change - log_det[inside]
    stiff = latent.stiff.clone()
    for index, block in enumerate(before.coordinates.base.blocks):
        basins = basins_of(block, stiff[:, block.indices])
        for round_of_maps in maps:
            moved, change = round_of_maps[index].move(stiff[:, block.indices], basins)
            stiff[:, block.indices] = moved
            log_volume = log_volume + change
    internal, change = model(Internal(latent.torsions, stiff))
    x, new_log_det = model.coordinates.to_positions(*internal)
    log_volume = log_volume + change + new_log_det
    u = torch.where(model.coordinates.contains(x), target.reduced_energy(x), math.inf)
    return MappedFrames(x, u, log_importance_weights(u, -cheap.target.reduced_energy(old) - log_volume))


def _own_problem(
    system: MolecularSystem,
    target: BoltzmannTarget,
    cheap: Problem,
    model: FlowModel,
    mapped: MappedFrames,
    generator: torch.Generator,
    watch: Stopwatch,
) -> Problem:
    """The problem at the costly level, with frames of the cheap one that are mapped and resampled."""
    n, effective = len(mapped.positions), effective_sample_size(mapped.log_weights)
    if effective < LEAST_EFFECTIVE_FRAMES:
        watch.warn(FEW_FRAMES.format(effective, n, cheap.system.forcefield, system.forcefield))
    thermal = cheap.frames.thermal
    frames = ThermalFrames(
        mapped.positions[systematic_resample(mapped.log_weights, n, generator)],
        torch.zeros(n, dtype=torch.long, device=mapped.positions.device),
        thermal.replaced,
        0,  # they are no longer ladders
        thermal.tempered,
    )
    own = ProblemFrames(cheap.frames.config, frames, mapped.positions, mapped.reduced_energies)
    coordinates = copy.deepcopy(model.coordinates)
    return Problem(system, target, cheap.masses, coordinates, own, cheap.symmetry)
