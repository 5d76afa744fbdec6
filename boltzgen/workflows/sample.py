"""Sample a molecule's conformations: SMILES in, Boltzmann-weighted ensemble out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from boltzgen.ensemble import Ensemble
from boltzgen.models.model import Model
from boltzgen.molecules.stereo_check import PERCEPTION_SECONDS
from boltzgen.objectives.walkers import Walkers
from boltzgen.problem import Problem
from boltzgen.progress import Report, StageProgress, Stopwatch, silent
from boltzgen.sampling.frames import thermal_dynamics
from boltzgen.systems import MolecularSystem, load_system
from boltzgen.training.checkpoint import Checkpoints
from boltzgen.training.data import TrainingData
from boltzgen.training.families import family, untrained_model
from boltzgen.training.held_out import held_out_measure
from boltzgen.training.result import Progress, TrainingResult
from boltzgen.training.trainer import train
from boltzgen.workflows.config import (
    SampleConfig,
    require_room,
    require_sane,
    sample_config,
    whole_budget,
)
from boltzgen.workflows.diagnostics import diagnose
from boltzgen.workflows.given_reference import load_reference, reference_positions
from boltzgen.workflows.hot_frames import HOT, hot_frames
from boltzgen.workflows.preparation import (
    prepare,
    select_device,
)
from boltzgen.workflows.refinement import pay_off, refined, reserve
from boltzgen.workflows.run_folder import RunFolder, held_folder
from boltzgen.workflows.sample_facts import SampledRun, sample_facts
from boltzgen.workflows.sampling import draw
from boltzgen.workflows.training_data import energy_data, internal_frames

LEAST_TRAINING_SHARE = 0.1
PERCEPTION_SHARE = 0.02  # of the budget
WRITING_SHARE = 0.05  # of the budget, at most two seconds: for diagnostics and files


def sample(
    molecule: str,
    n: int = 10_000,
    temperature: float = 300.0,
    *,
    forcefield: str | None = None,
    solvent: str | None = None,
    release_constraints: bool = False,
    seed: int = 0,
    budget: float | None = None,
    effective: int | None = None,
    free_energy_error: float | None = None,
    max_steps: int | None = None,
    device: str = "auto",
    model: str = "flow",
    model_settings: Mapping[str, Any] | None = None,
    objective: str | None = None,
    reference: str | Path | None = None,
    refine: str = "auto",
    out: str | Path | None = None,
    resume: bool = False,
    report: Report = silent,
    **settings: Any,
) -> Ensemble:
    """Boltzmann-weighted conformations of ``molecule``.

    Parameters
    ----------
    molecule
        A SMILES, a file, a peptide sequence or a named system.
    n
        Conformations to generate.
    temperature
        K.
    forcefield, solvent
        By default MMFF94 in vacuum; for peptides and named systems their own.
    release_constraints
        Whether the bond constraints of a system.xml are dropped.
    seed
        Of all random numbers.
    budget
        Most wall seconds for the whole run, by default chosen by the size of the molecule.
    effective
        Effective samples to reach within the budget, by default half of ``n``.
    free_energy_error
        Standard error of the free energy, in kcal/mol, to reach within the budget.
    max_steps
        Training steps instead of a time for training: the run then repeats to the bit.
    device
        "auto", "cpu" or "cuda".
    model, model_settings
        A family by name (see ``training/families.py``) and settings of its schema.
    objective
        Of training; by default the model's own.
    reference
        Folder of an ensemble for a model that learns from frames, by default the run's own replica exchange.
    refine
        "auto" betters a flow's samples in what is left of the budget where less than half of them are
        effective; "off" leaves them as the model makes them.
    out
        Folder for the run's files.
    resume
        Whether a run that was cut short in ``out`` goes on.
    report
        Is told of the progress.
    **settings
        Any other setting of ``SampleConfig``, like ``frames={"ladders": 64}``, ``refine_share=0.8`` or
        ``training={"batch_size": 256}``.

    Returns
    -------
    Ensemble
        One that did not converge says so in ``metadata["converged"]`` and ``metadata["warnings"]``.

    Raises
    ------
    InputError
        For input that cannot be used, in one sentence.
    NotConvergedError
        Where no sample is a conformer of the molecule.
    """
    given = {
        "molecule": molecule, "n": n, "temperature": temperature, "forcefield": forcefield,
        "solvent": solvent, "release_constraints": release_constraints, "seed": seed, "budget": budget,
        "effective": effective, "free_energy_error": free_energy_error,
        "max_steps": max_steps, "device": device, "model": model, "model_settings": model_settings,
        "objective": objective, "reference": reference, "refine": refine,
    }  # fmt: skip
    return run_sample(sample_config(given | settings), out, report, resume=resume)


def run_sample(
    config: SampleConfig,
    out: str | Path | None = None,
    report: Report = silent,
    watch: Stopwatch | None = None,
    resume: bool = False,
) -> Ensemble:
    """The recipe. ``watch`` may have been started earlier, so that start-up counts against the budget.

    With ``resume`` a run that was cut short goes on from the last checkpoint in its folder ``out``; what a
    finished one wrote is returned as it is.
    """
    watch = watch or Stopwatch(report)
    require_sane(config)
    with held_folder(out, config, resume, watch) as folder:
        return _sampled(config, folder, watch)


def _sampled(config: SampleConfig, folder: RunFolder | None, watch: Stopwatch) -> Ensemble:
    """The run of ``config``, its files in ``folder``."""
    if folder is not None and folder.is_finished:
        return folder.completed()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        generator = torch.Generator(select_device(config.device)).manual_seed(config.seed)
        problem, reference = _prepared(config, folder, generator, watch)
        model = untrained_model(config.model, config.model_settings, problem)
        data, trained_on = _training_data(config, problem, model, reference, generator)
        checkpoints = None if folder is None else folder.checkpoints(model, problem, generator)
        training = _train(config, problem, model, data, watch, checkpoints)
        spent = watch.allowance(_sampling_seconds(config, watch))
        drawn = draw(model, problem.target, problem.molecule, config.n_samples, generator, watch, spent)
        ensemble, refinement = refined(drawn, config, problem, model, generator, watch)
        with watch.stage("diagnostics"):
            judged = diagnose(ensemble, problem, model, config.model, _perception_seconds(config))
            figures = family(config.model).figures(model, data)
    run = SampledRun(config, problem, model, training, trained_on, figures, reference)
    facts = sample_facts(run, drawn, ensemble, refinement, judged, watch)
    ensemble = replace(ensemble, metadata=facts.model_dump())
    if folder is not None:
        folder.write_results(ensemble, model)
    return ensemble


def _prepared(
    config: SampleConfig, folder: RunFolder | None, generator: torch.Generator, watch: Stopwatch
) -> tuple[Problem, Ensemble | None]:
    """The problem, as an earlier session left it or new, and the reference that ``config`` names."""
    problem = None if folder is None else folder.kept_problem(generator)
    if problem is not None:
        return problem, _reference(config, problem.system)
    with watch.stage("seed conformers"):
        system = load_system(config.molecule, config.forcefield, config.solvent, config.release_constraints)
        require_room(config.n_samples, system.molecule.n_atoms)
        reference = _reference(config, system)
    problem = prepare(config, generator, watch, system)
    if folder is not None:
        folder.begin()
        folder.keep_problem(problem, generator)
    return problem, reference


def _reference(config: SampleConfig, system: MolecularSystem) -> Ensemble | None:
    """The ensemble in the folder that ``config.reference`` names."""
    return None if config.reference is None else load_reference(config.reference, system, config.temperature)


def _training_data(
    config: SampleConfig,
    problem: Problem,
    model: Model,
    reference: Ensemble | None,
    generator: torch.Generator,
) -> tuple[TrainingData, str]:
    """What the model is trained on, and the same in words."""
    own = internal_frames(model, problem.frames.thermal.positions)
    if family(config.model).trained_on == "energy":
        walkers = _walkers(config, problem, generator) if config.training.objective == "walkers" else None
        data = replace(energy_data(problem, model, generator), walkers=walkers)
        return data, f"the energy, after a start on {len(own.stiff)} frames of its own replica exchange"
    hot, beside = None, ""
    if family(config.model).hot_frames:
        hot = internal_frames(model, hot_frames(problem, generator))
        beside = f", and {len(hot.stiff)} at {HOT * config.temperature:g} K"
    if reference is None:
        data = TrainingData(problem.target, generator, own, hot)
        return data, f"{len(own.stiff)} frames of its own short replica exchange{beside}"
    frames = internal_frames(model, reference_positions(reference, generator))
    data = TrainingData(problem.target, generator, frames, hot)
    return data, f"{len(frames.stiff)} frames of {config.reference}{beside}"


def _train(
    config: SampleConfig,
    problem: Problem,
    model: Model,
    data: TrainingData,
    watch: Stopwatch,
    checkpoints: Checkpoints | None,
) -> TrainingResult:
    settings = config.training
    if settings.max_steps is None and settings.budget_seconds is None:
        budget = whole_budget(config, data.target.n_atoms)
        rest = budget - watch.elapsed - _sampling_reserve(config, budget)
        settings = settings.model_copy(update={"budget_seconds": max(rest, LEAST_TRAINING_SHARE * budget)})

    def relay(progress: Progress) -> None:
        note = f"{progress.stage}, step {progress.step}"
        if progress.ess_fraction is not None:
            note += f", ESS {100 * progress.ess_fraction:.1f} %, KL {progress.reverse_kl:.2f}"
        watch.report(StageProgress("training", progress.fraction, progress.seconds_left, note))

    with watch.stage("training"):
        stages = family(config.model).stages(model, data, settings)
        measure = held_out_measure(model, data, family(config.model).trained_on == "energy")
        return train(
            model,
            stages,
            settings,
            relay,
            checkpoints,
            reserve(config, model),
            measure,
            pay_off(config, problem, model, watch),
        )


def _walkers(config: SampleConfig, problem: Problem, generator: torch.Generator) -> Walkers:
    """Walkers that go on from thermal frames drawn at random."""
    frames = config.frames
    dynamics = thermal_dynamics(problem.target, problem.masses, frames.time_step, frames.friction)
    return Walkers(dynamics, problem.frames.thermal.positions, config.training.walkers.number, generator)


def _sampling_seconds(config: SampleConfig, watch: Stopwatch) -> float | None:
    """Seconds that are left for drawing samples in a budget that was asked for, None where none was."""
    if config.budget_seconds is None or config.training.max_steps is not None:
        return None
    writing = min(2.0, WRITING_SHARE * config.budget_seconds)
    return config.budget_seconds - watch.elapsed - writing


def _perception_seconds(config: SampleConfig) -> float:
    """Seconds for RDKit's perception of stereo: part of those for writing in a budget that was asked for."""
    if config.budget_seconds is None:
        return PERCEPTION_SECONDS
    return min(PERCEPTION_SECONDS, PERCEPTION_SHARE * config.budget_seconds)


def _sampling_reserve(config: SampleConfig, budget: float) -> float:
    """Seconds kept back for sampling and writing, at 25 k samples a second."""
    return min(2.0 + config.n_samples / 25_000, 0.3 * budget)
