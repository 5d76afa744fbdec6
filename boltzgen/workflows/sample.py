"""Sample a molecule's conformations: SMILES in, Boltzmann-weighted ensemble out."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from boltzgen.ensemble import Ensemble
from boltzgen.ensemble_folder import CONFIG, MODEL, REPORT, require_free_folder, write_whole
from boltzgen.evaluation.convergence import judge, missed_share
from boltzgen.evaluation.modes import conformer_table, find_states
from boltzgen.models.model import Internal
from boltzgen.objectives.walkers import Walkers
from boltzgen.report.page import report_page
from boltzgen.sampling.frames import thermal_dynamics
from boltzgen.training.checkpoint import save_model
from boltzgen.training.recipes import stages
from boltzgen.training.trainer import Progress, TrainingResult, train
from boltzgen.workflows.config import SampleConfig, config_toml, require_sane, validated, whole_budget
from boltzgen.workflows.preparation import Preparation, prepare, select_device
from boltzgen.workflows.progress import Report, StageProgress, Stopwatch, silent
from boltzgen.workflows.versions import package_versions

SAMPLING_CHUNK = 4096
MAIN_CONFORMERS = 10
HISTORY_ROWS = 100
JUDGED_FRAMES = 4096
LEAST_TRAINING_SHARE = 0.2


def sample(
    molecule: str,
    n: int = 10_000,
    temperature: float = 300.0,
    *,
    forcefield: str | None = None,
    solvent: str | None = None,
    seed: int = 0,
    budget: float | None = None,
    device: str = "auto",
    out: str | Path | None = None,
    report: Report = silent,
) -> Ensemble:
    """Boltzmann-weighted conformations of ``molecule`` (a SMILES, a file or a named system).

    ``temperature`` in K, ``budget`` in wall seconds for the whole run (by default chosen by molecule size).
    ``forcefield`` and ``solvent`` default to MMFF94 in vacuum, for peptides and named systems to their own.
    With ``out`` the run's files are written to that folder. Raises InputError on bad input. A run that did
    not converge says so in ``ensemble.metadata["converged"]`` and ``["warnings"]``.
    """
    config = validated(
        SampleConfig,
        molecule=molecule,
        n_samples=n,
        temperature=temperature,
        forcefield=forcefield,
        solvent=solvent,
        seed=seed,
        budget_seconds=budget,
        device=device,
    )
    return run_sample(config, out, report)


def run_sample(
    config: SampleConfig,
    out: str | Path | None = None,
    report: Report = silent,
    watch: Stopwatch | None = None,
) -> Ensemble:
    """The recipe. ``watch`` may have been started earlier, so that start-up counts against the budget."""
    watch = watch or Stopwatch(report)
    require_sane(config)
    folder = require_free_folder(out) if out is not None else None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        generator = torch.Generator(select_device(config.device)).manual_seed(config.seed)
        prepared = prepare(config, generator, watch)
        training = _train(config, prepared, generator, watch)
        if folder is not None:
            write_whole(folder / CONFIG, lambda path: path.write_text(config_toml(config)))
            write_whole(folder / MODEL, lambda path: save_model(prepared.model, path))
        ensemble = _draw(config, prepared, generator, watch)
    ensemble = _judged(ensemble, config, prepared, training, watch)
    if folder is not None:
        ensemble.save(folder)
        write_whole(folder / REPORT, lambda path: path.write_text(report_page(ensemble), encoding="utf-8"))
    return ensemble


def _train(
    config: SampleConfig, prepared: Preparation, generator: torch.Generator, watch: Stopwatch
) -> TrainingResult:
    model, settings = prepared.model, config.training
    if settings.max_steps is None and settings.budget_seconds is None:
        budget = whole_budget(config, prepared.target.n_atoms)
        rest = budget - watch.elapsed - _sampling_reserve(config, budget)
        settings = settings.model_copy(update={"budget_seconds": max(rest, LEAST_TRAINING_SHARE * budget)})

    def relay(progress: Progress) -> None:
        note = f"{progress.stage}, step {progress.step}"
        if progress.ess_fraction is not None:
            note += f", ESS {100 * progress.ess_fraction:.1f} %, KL {progress.reverse_kl:.2f}"
        watch.report(StageProgress("training", progress.fraction, progress.seconds_left, note))

    with watch.stage("training"):
        with torch.no_grad():
            torsions, stiff, _ = model.coordinates.from_positions(prepared.frames.positions)
        frames = Internal(torsions, stiff)
        walkers = _walkers(config, prepared, generator) if settings.objective == "walkers" else None
        return train(
            model, stages(model, prepared.target, frames, settings, generator, walkers), settings, relay
        )


def _walkers(config: SampleConfig, prepared: Preparation, generator: torch.Generator) -> Walkers:
    """Walkers that go on from thermal frames drawn at random."""
    frames = config.frames
    dynamics = thermal_dynamics(prepared.target, prepared.masses, frames.time_step, frames.friction)
    return Walkers(dynamics, prepared.frames.positions, config.training.walkers.number, generator)


def _sampling_reserve(config: SampleConfig, budget: float) -> float:
    """Seconds kept back for sampling and writing, at 25 k samples a second."""
    return min(2.0 + config.n_samples / 25_000, 0.3 * budget)


@torch.no_grad()
def _draw(
    config: SampleConfig, prepared: Preparation, generator: torch.Generator, watch: Stopwatch
) -> Ensemble:
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    with watch.stage("sampling", f"{config.n_samples} samples"):
        for first in range(0, config.n_samples, SAMPLING_CHUNK):
            n = min(SAMPLING_CHUNK, config.n_samples - first)
            x, log_q = prepared.model.sample_with_log_prob(n, generator)
            u = prepared.target.reduced_energy(x)
            u = torch.where(prepared.model.coordinates.contains(x), u, torch.inf)
            parts.append((x.cpu(), u.cpu(), log_q.cpu()))
            watch.report(StageProgress("sampling", (first + n) / config.n_samples))
    x, u, log_q = (torch.cat(part) for part in zip(*parts, strict=True))
    return Ensemble.from_samples(prepared.system.molecule, x, u, log_q, config.temperature)


@torch.no_grad()
def _judged(
    ensemble: Ensemble,
    config: SampleConfig,
    prepared: Preparation,
    training: TrainingResult,
    watch: Stopwatch,
) -> Ensemble:
    with watch.stage("diagnostics"):
        missed = _missed_share(ensemble, prepared)
        verdict = judge(ensemble.effective_sample_size, ensemble.pareto_k, missed)
        conformers = _main_conformers(ensemble)
    metadata: dict[str, Any] = {
        "forcefield": prepared.system.forcefield,
        "solvent": prepared.system.solvent,
        "seed": config.seed,
        "device": str(prepared.frames.positions.device),
        "n_energy_evaluations": prepared.target.evaluations,
        "n_training_steps": training.steps,
        "n_dropped_samples": training.n_dropped,
        "n_bad_training_steps": training.n_bad_steps,
        "n_replaced_walkers": prepared.frames.replaced,
        "training_reached_plateau": training.plateau,
        "training_history": _columns(training),
        "symmetry_multiplicity": prepared.model.coordinates.multiplicity,
        "main_conformers": conformers,
        "missed_frame_share": verdict.missed_share,
        "converged": verdict.converged,
        "warnings": verdict.warnings,
        "wall_seconds": {**watch.seconds, "total": watch.elapsed},
        "versions": package_versions(),
    }
    return replace(ensemble, metadata=metadata)


def _missed_share(ensemble: Ensemble, prepared: Preparation) -> float:
    """Share of at most some thousand thermal frames in conformers that the model has dropped."""
    frames = prepared.frames.positions
    x = frames[:: max(1, len(frames) // JUDGED_FRAMES)]
    u = prepared.target.reduced_energy(x)
    log_weights = -u.double() - prepared.model.log_prob(x).double()
    positions = x.cpu().numpy()
    equal = np.full(len(positions), 1.0 / len(positions))
    states = find_states(ensemble.molecule, positions, equal)
    table = conformer_table(states, positions, equal, u.cpu().numpy())
    return missed_share(
        log_weights.cpu(), u.cpu(), torch.from_numpy(table.assignment), ensemble.log_z.value,
        ensemble.mean_energy.value / ensemble.kT,
    )  # fmt: skip


def _columns(training: TrainingResult) -> dict[str, list[float]]:
    """The history of training, at most a hundred rows of it, by column."""
    history = training.history[:: math.ceil(len(training.history) / HISTORY_ROWS) or 1]
    names = ("seconds", "step", "ess_fraction", "reverse_kl")
    return {name: [row[i] for row in history] for i, name in enumerate(names)}


def _main_conformers(ensemble: Ensemble) -> list[dict[str, Any]]:
    """The most populated torsion states: population with error, and the index of the best sample of each."""
    weights, positions = ensemble.weights, ensemble.positions
    states = find_states(ensemble.molecule, positions, weights)
    table = conformer_table(states, positions, weights, ensemble.energies)
    return [
        {
            "states": conformer.label,
            "population": conformer.population.value,
            "population_stderr": conformer.population.stderr,
            "torsions_deg": [math.degrees(angle) for angle in conformer.torsions],
            "representative_sample": conformer.representative,
        }
        for conformer in table.conformers[:MAIN_CONFORMERS]
    ]
