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

import torch
from jaxtyping import Float
from torch import Tensor

from boltzgen.coordinates.internal import MolecularCoordinates
from boltzgen.coordinates.stiff_shift import fit_stiff_map
from boltzgen.energies.compiler import compile_system
from boltzgen.energies.target import BoltzmannTarget
from boltzgen.errors import InputError, NotConvergedError
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
from boltzgen.training.families import family, untrained_model
from boltzgen.workflows.config import SampleConfig, default_budget, require_room
from boltzgen.workflows.fitting import fitted, training_data
from boltzgen.workflows.preparation import prepare
from boltzgen.workflows.sample_facts import SampledRun
from boltzgen.workflows.sampling import draw_log_weights
from boltzgen.workflows.training_data import energy_data

START_SHARE = 0.25  # of the budget, for the cheap level
TIMES_LONGER = 4.0  # than a run on the cheap level, by default
ROUNDS = 2  # of samples, each of which betters the map
SAMPLES = 512  # a round
FRAMES = 512  # of the cheap level, weighed by the costly energy
FRAMES_STAGE = "frames of the new level"
LEAST_EFFECTIVE_FRAMES = 50.0
CLASH = 15.0  # nats of log q + u above the median, from which a sample does not count in a regression
FINE_TUNING = {
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


@dataclass(frozen=True)
class WeighedSamples:
    """Samples of a flow with what the costly energy says of them.

    internal: y and torsions. slopes: ∂(log q + u)/∂y. log_weights: −u − log q.
    """

    internal: Internal
    slopes: Float[Tensor, "samples stiff"]
    log_weights: Float[Tensor, " samples"]

    @property
    def kept(self) -> Tensor:
        """Samples without clashes."""
        finite = torch.isfinite(self.log_weights)
        if not bool(finite.any()):
            return finite
        return finite & (self.log_weights > self.log_weights[finite].median() - CLASH)


def weighed_samples(
    model: FlowModel, target: BoltzmannTarget, n: int, generator: torch.Generator
) -> WeighedSamples:
    """``n`` samples of ``model``, with the gradient of log q + u along stiff coordinates."""
    with torch.no_grad():
        internal, _ = model(model.sample_latent(n, generator))
    stiff = internal.stiff.detach().requires_grad_()
    with torch.enable_grad():
        x, log_det = model.coordinates.to_positions(internal.torsions, stiff)
        log_q = model.internal_log_prob(Internal(internal.torsions, stiff)) - log_det
        log_q = log_q - model.coordinates.log_multiplicity
        u = target.reduced_energy(x)
        (slopes,) = torch.autograd.grad((log_q + u).sum(), stiff)
    u = torch.where(model.coordinates.contains(x), u, math.inf)
    return WeighedSamples(
        Internal(internal.torsions, stiff.detach()), slopes, log_importance_weights(u, log_q)
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

    steps, each = _mapped(start, model, target, generator, watch)
    with watch.stage(FRAMES_STAGE, f"{FRAMES} frames of {start}"):
        own = _own_problem(system, target, problem, model.coordinates, generator, watch, start)
    data = energy_data(own, model, generator)
    settings = config.training.model_copy(
        update={k: v for k, v in FINE_TUNING.items() if k not in config.training.model_fields_set}
    )
    tuned = config.model_copy(update={"training": settings})
    before = target.evaluations
    training = fitted(tuned, own, model, replace(data, conformers=None), watch, None, 1.0 / each)
    after = target.evaluations
    log_weights = draw_log_weights(model, target, SAMPLES, generator)
    steps.append(_step("fine-tuned by reverse KL", log_weights, training.seconds, after - before))
    words = f"the energy of {config.forcefield}, after a training on {start}"
    figures = family(config.model).figures(model, data)
    return SampledRun(config, own, model, training, words, figures, level_steps=steps)


def _mapped(
    start: str, model: FlowModel, target: BoltzmannTarget, generator: torch.Generator, watch: Stopwatch
) -> tuple[list[LevelStep], float]:
    """The steps that map the coordinates of ``model`` to the level of ``target``; seconds an evaluation."""
    steps, seconds = [], 0.0
    note = f"{SAMPLES} samples of the flow of {start}"
    for index in range(ROUNDS + 1):
        with watch.stage("level of theory", note):
            began = time.monotonic()
            found = weighed_samples(model, target, SAMPLES, generator)
            seconds = time.monotonic() - began
            name = f"flow of {start}, reweighted" if index == 0 else f"stiff coordinates mapped, {index}"
            steps.append(_step(name, found.log_weights, seconds, SAMPLES))
            note = f"{100 * steps[-1].effective_sample_size_fraction:.1f} % effective"
            if index < ROUNDS:
                kept = found.kept
                if int(kept.sum()) <= model.coordinates.n_stiff:
                    raise NotConvergedError(
                        f"Of {SAMPLES} samples of {start} hardly any has an energy at the level asked for:"
                        " give a larger budget, or --set start_from=none."
                    )
                fit_stiff_map(found.internal.stiff, found.slopes, model.coordinates.base, kept).apply(
                    model.coordinates
                )
    return steps, seconds / SAMPLES


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


@torch.no_grad()
def _own_problem(
    system: MolecularSystem,
    target: BoltzmannTarget,
    cheap: Problem,
    mapped: MolecularCoordinates,
    generator: torch.Generator,
    watch: Stopwatch,
    start: str,
) -> Problem:
    """The problem at the costly level, with frames of the cheap one that are mapped and resampled."""
    thermal = cheap.frames.thermal
    x, u, log_weights = _mapped_frames(thermal.positions, target, cheap, mapped, generator)
    effective = effective_sample_size(log_weights)
    if effective < LEAST_EFFECTIVE_FRAMES:
        watch.warn(FEW_FRAMES.format(effective, len(x), start, system.forcefield))
    chosen = systematic_resample(log_weights, len(x), generator)
    frames = ThermalFrames(
        x[chosen],
        torch.zeros(len(x), dtype=torch.long, device=x.device),
        thermal.replaced,
        0,  # they are no longer ladders
        thermal.tempered,
    )
    return Problem(
        system,
        target,
        cheap.masses,
        copy.deepcopy(mapped),
        ProblemFrames(cheap.frames.config, frames, x, u),
        cheap.symmetry,
    )


def _mapped_frames(
    positions: Tensor,
    target: BoltzmannTarget,
    cheap: Problem,
    mapped: MolecularCoordinates,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor, Tensor]:
    """Frames of the cheap level mapped to the costly one, with its u and weights −u' + u + ln |∂x'/∂x|."""
    order = torch.randperm(len(positions), generator=generator, device=positions.device)[:FRAMES]
    old = positions[order]
    torsions, stiff, log_det = cheap.coordinates.from_positions(old)
    inside = torch.isfinite(log_det + torsions.sum(1) + stiff.sum(1))
    old, torsions, stiff, log_det = (part[inside] for part in (old, torsions, stiff, log_det))
    x, new_log_det = mapped.to_positions(torsions, stiff)
    u = torch.where(mapped.contains(x), target.reduced_energy(x), math.inf)
    log_density = log_det - new_log_det - cheap.target.reduced_energy(old)
    return x, u, log_importance_weights(u, log_density)
