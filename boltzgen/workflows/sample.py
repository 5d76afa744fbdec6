"""Sample a molecule's conformations: SMILES in, Boltzmann-weighted ensemble out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from boltzgen.ensemble import Ensemble
from boltzgen.files.names import INPUT
from boltzgen.forcefields.parametrise import is_program
from boltzgen.molecules.molecule import Molecule
from boltzgen.molecules.stereo_check import PERCEPTION_SECONDS
from boltzgen.problem import Problem
from boltzgen.progress import Report, Stopwatch, silent
from boltzgen.systems import MolecularSystem, MoleculeInput, load_system
from boltzgen.systems.given import given_input
from boltzgen.threads import paying_threads
from boltzgen.training.families import family, untrained_model
from boltzgen.workflows.config import (
    WRITING_SECONDS,
    SampleConfig,
    ends_by_time,
    require_room,
    require_sane,
    sample_config,
)
from boltzgen.workflows.devices import select_device
from boltzgen.workflows.diagnostics import diagnose, verdict
from boltzgen.workflows.fitting import fitted, training_data
from boltzgen.workflows.given_reference import load_reference
from boltzgen.workflows.levels import FRAMES_STAGE, fitted_from, level_budget, start_level
from boltzgen.workflows.preparation import prepare
from boltzgen.workflows.refinement import refined
from boltzgen.workflows.replica_answer import Answer, best_answer
from boltzgen.workflows.run_folder import RunFolder, held_folder
from boltzgen.workflows.sample_facts import SampledRun, sample_facts
from boltzgen.workflows.sampling import draw

PERCEPTION_SHARE = 0.02  # of the budget
WRITING_SHARE = 0.05  # of the budget, at most, for diagnostics and files


def sample(
    molecule: MoleculeInput,
    n: int = 10_000,
    temperature: float = 300.0,
    *,
    positions: Any = None,
    add_hydrogens: bool = False,
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
        A SMILES, a file, a peptide sequence or a named system; an RDKit ``Mol``, a ``Molecule``, a
        ``MolecularSystem`` or an OpenMM pair ``(topology, system)``. See ``load_system``.
    n
        Conformations to generate.
    temperature
        K. OpenMM quantities are taken wherever a setting has a unit.
    positions
        Of an OpenMM pair: [atoms, 3] or [frames, atoms, 3] in nm, or a quantity.
    add_hydrogens
        Whether missing hydrogens of an RDKit ``Mol`` are added; otherwise they are refused.
    forcefield, solvent
        By default MMFF94 in vacuum; for peptides and named systems their own.
    release_constraints
        Whether the bond constraints of an OpenMM system are dropped.
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
        Folder for the run's files. A molecule that is not text is written there as input.json, so that the
        run can be resumed, and repeated by ``boltzgen train FOLDER/config.toml``.
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
    given = given_input(molecule, positions, add_hydrogens, release_constraints)
    if isinstance(given, MolecularSystem):
        system = load_system(given, forcefield, solvent)
        forcefield, solvent, release_constraints = None, None, False  # as the system has them
        if is_program(system.forcefield):  # a run knows how to begin with a cheaper energy
            given, forcefield, solvent = system.molecule, system.forcefield, system.solvent
    settings_given = {
        "molecule": _called(given, out), "n": n, "temperature": temperature, "forcefield": forcefield,
        "solvent": solvent, "release_constraints": release_constraints, "seed": seed, "budget": budget,
        "effective": effective, "free_energy_error": free_energy_error,
        "max_steps": max_steps, "device": device, "model": model, "model_settings": model_settings,
        "objective": objective, "reference": reference, "refine": refine,
    }  # fmt: skip
    own = None if isinstance(given, str) else given
    return run_sample(sample_config(settings_given | settings), out, report, resume=resume, given=own)


def _called(given: str | Molecule | MolecularSystem, out: str | Path | None) -> str:
    """What the configuration of a run calls its molecule: where it will be written, or what it is."""
    if isinstance(given, str):
        return given
    if out is not None:
        return str(Path(out) / INPUT)
    return (given.molecule if isinstance(given, MolecularSystem) else given).smiles


def run_sample(
    config: SampleConfig,
    out: str | Path | None = None,
    report: Report = silent,
    watch: Stopwatch | None = None,
    resume: bool = False,
    given: Molecule | MolecularSystem | None = None,
) -> Ensemble:
    """The recipe. ``watch`` may have been started earlier, so that start-up counts against the budget.

    With ``resume`` a run that was cut short goes on from the last checkpoint in its folder ``out``; what a
    finished one wrote is returned as it is. ``given`` is the molecule or system, in place of the one that
    ``config`` names.
    """
    watch = watch or Stopwatch(report)
    require_sane(config)
    with held_folder(out, config, resume, watch, given) as folder:
        return _sampled(config, folder, watch, given or config.molecule)


def _sampled(
    config: SampleConfig, folder: RunFolder | None, watch: Stopwatch, molecule: MoleculeInput
) -> Ensemble:
    """The run of ``config`` for ``molecule``, its files in ``folder``."""
    if folder is not None and folder.is_finished:
        return folder.completed()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        generator = torch.Generator(select_device(config.device, watch.warn)).manual_seed(config.seed)
        start = start_level(config)
        with paying_threads(ends_by_time(config)):
            if start is None:
                run = _trained(config, folder, generator, watch, molecule)
            else:
                if folder is not None:
                    folder.begin()
                config = level_budget(config, molecule)
                run = fitted_from(start, config, generator, watch, molecule)
        problem, model = run.problem, run.model
        with paying_threads(ends_by_time(config)):
            spent = watch.allowance(_sampling_seconds(config, watch))
            drawn = draw(model, problem.target, problem.molecule, config.n_samples, generator, watch, spent)
            ensemble, refinement = drawn, None
            if start is None and not run.training.gave_way:
                ensemble, refinement = refined(drawn, config, problem, model, generator, watch)
            with watch.stage("diagnostics"):
                judged = verdict(ensemble, problem, model, config.model)
            answer = Answer(ensemble, "model", judged)
            if start is None:  # else the frames are those of another energy
                answer = best_answer(config, problem, model, drawn, ensemble, judged, generator, watch)
            with watch.stage("diagnostics"):
                diagnosis = diagnose(answer.ensemble, answer.verdict, problem, _perception_seconds(config))
    facts = sample_facts(run, drawn, answer, refinement, diagnosis, watch)
    ensemble = replace(answer.ensemble, metadata=facts.model_dump())
    if folder is not None:
        folder.write_results(ensemble, model)
    return ensemble


def _trained(
    config: SampleConfig,
    folder: RunFolder | None,
    generator: torch.Generator,
    watch: Stopwatch,
    molecule: MoleculeInput,
) -> SampledRun:
    """A model trained on the molecule's own energy, or on a reference."""
    problem, reference = _prepared(config, folder, generator, watch, molecule)
    model = untrained_model(config.model, config.model_settings, problem)
    data, trained_on = training_data(config, problem, model, reference, generator)
    checkpoints = None if folder is None else folder.checkpoints(model, problem, generator)
    training = fitted(config, problem, model, data, watch, checkpoints)
    figures = family(config.model).figures(model, data)
    return SampledRun(config, problem, model, training, trained_on, figures, reference)


def _prepared(
    config: SampleConfig,
    folder: RunFolder | None,
    generator: torch.Generator,
    watch: Stopwatch,
    molecule: MoleculeInput,
) -> tuple[Problem, Ensemble | None]:
    """The problem, as an earlier session left it or new, and the reference that ``config`` names."""
    problem = None if folder is None else folder.kept_problem(generator)
    if problem is not None:
        return problem, _reference(config, problem.system)
    with watch.stage("seed conformers"):
        system = load_system(molecule, config.forcefield, config.solvent, config.release_constraints)
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


def _sampling_seconds(config: SampleConfig, watch: Stopwatch) -> float | None:
    """Seconds that are left for drawing samples in a budget that was asked for, None where none was."""
    if config.budget_seconds is None or not ends_by_time(config):
        return None
    writing = min(WRITING_SECONDS, WRITING_SHARE * config.budget_seconds)
    diagnosing = watch.seconds.get(FRAMES_STAGE, 0.0)  # costly energies of as many frames once more
    return config.budget_seconds - watch.elapsed - writing - diagnosing


def _perception_seconds(config: SampleConfig) -> float:
    """Seconds for RDKit's perception of stereo: part of those for writing in a budget that was asked for."""
    if config.budget_seconds is None:
        return PERCEPTION_SECONDS
    return min(PERCEPTION_SECONDS, PERCEPTION_SHARE * config.budget_seconds)
