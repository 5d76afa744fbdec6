"""What the summary of a sampling run says beside the figures of its ensemble."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from boltzgen.coordinates.description import coverage_warnings
from boltzgen.ensemble import Ensemble
from boltzgen.models.model import Model
from boltzgen.problem import Problem
from boltzgen.progress import Stopwatch
from boltzgen.records.run import LevelStep, RefinementSummary, SampleFacts, TrainingHistory
from boltzgen.training.result import TrainingResult
from boltzgen.workflows.config import SampleConfig
from boltzgen.workflows.diagnostics import Diagnosis, torsion_counts
from boltzgen.workflows.given_reference import reference_warnings
from boltzgen.workflows.preparation import equivalence_facts
from boltzgen.workflows.replica_answer import Answer
from boltzgen.workflows.sampling import density_kind
from boltzgen.workflows.versions import package_versions

HISTORY_ROWS = 100
TOO_FEW = "{} of {} samples were drawn in the time that was left; give a larger --budget or fewer samples"


@dataclass(frozen=True)
class SampledRun:
    """How the samples of a run came about.

    trained_on: what the model was trained on, in words. model_figures: what it says of itself, by name.
    level_steps: from another level of theory, in their order.
    """

    config: SampleConfig
    problem: Problem
    model: Model
    training: TrainingResult
    trained_on: str
    model_figures: Mapping[str, float]
    reference: Ensemble | None = None
    level_steps: Sequence[LevelStep] = ()


def sample_facts(
    run: SampledRun,
    drawn: Ensemble,
    answer: Answer,
    refinement: RefinementSummary | None,
    diagnosis: Diagnosis,
    watch: Stopwatch,
) -> SampleFacts:
    """The facts of ``run``, whose model drew ``drawn``, and of its ``answer`` after any ``refinement``."""
    ensemble = answer.ensemble
    config, problem, model, training = run.config, run.problem, run.model, run.training
    seconds = watch.elapsed
    warnings = diagnosis.verdict.warnings + reference_warnings(run.reference, str(config.reference))
    if len(drawn) < config.n_samples:
        warnings.append(TOO_FEW.format(len(drawn), config.n_samples))
    return SampleFacts(
        forcefield=problem.system.forcefield,
        solvent=problem.system.solvent,
        model=config.model,
        density=density_kind(model),
        trained_on=run.trained_on,
        model_figures=dict(run.model_figures),
        seed=config.seed,
        device=str(problem.device),
        n_parameters=sum(p.numel() for p in model.parameters()),
        n_training_steps=training.steps,
        training_seconds=training.seconds,
        n_training_processes=training.processes,
        n_dropped_samples=training.n_dropped,
        n_stereo_perceived=diagnosis.n_stereo_perceived,
        n_bad_training_steps=training.n_bad_steps,
        n_training_divergences=training.n_divergences,
        n_replaced_walkers=problem.frames.thermal.replaced,
        training_reached_plateau=training.plateau,
        training_stopped_because=training.pays_no_more,
        training_history=training_history(training),
        symmetry_multiplicity=problem.coordinates.multiplicity,
        model_effective_sample_size_fraction=drawn.effective_sample_size_fraction,
        refinement=refinement,
        level_steps=list(run.level_steps) or None,
        answer=answer.source,
        replica_exchange=answer.replica_exchange,
        effective_samples_per_second=ensemble.effective_sample_size / seconds,
        replica_exchange_effective_samples_per_second=diagnosis.replica_exchange_samples
        / watch.seconds["dynamics"],
        n_energy_evaluations=problem.target.evaluations,
        main_conformers=diagnosis.main_conformers,
        torsion_counts=torsion_counts(drawn, problem),
        missed_frame_share=diagnosis.verdict.missed_share,
        converged=diagnosis.verdict.converged,
        warnings=warnings
        + coverage_warnings(ensemble.molecule)
        + problem.symmetry.warnings(ensemble.molecule)
        + watch.warnings,
        **equivalence_facts(problem.symmetry),
        wall_seconds={**watch.seconds, "total": watch.elapsed},
        versions=package_versions(),
    )


def training_history(training: TrainingResult) -> TrainingHistory:
    """The history of training, at most a hundred rows of it, by column."""
    history = training.history[:: math.ceil(len(training.history) / HISTORY_ROWS) or 1]
    columns = list(zip(*history, strict=True)) or [(), (), (), ()]
    seconds, step, ess_fraction, reverse_kl = (list(column) for column in columns)
    return TrainingHistory(seconds=seconds, step=step, ess_fraction=ess_fraction, reverse_kl=reverse_kl)
