"""Sample a molecule's conformations: SMILES in, Boltzmann-weighted ensemble out."""

from __future__ import annotations

import math
import platform
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from boltzgen.coordinates.build import build_coordinates
from boltzgen.energies.compiler import compile_system
from boltzgen.energies.target import BoltzmannTarget
from boltzgen.ensemble import Ensemble
from boltzgen.ensemble_folder import require_free_folder
from boltzgen.errors import InputError
from boltzgen.evaluation.convergence import judge, missed_walker_share
from boltzgen.evaluation.modes import conformer_table, find_states
from boltzgen.models.flow import FlowConfig, FlowModel, Internal
from boltzgen.sampling.frames import FramesConfig, ThermalFrames, thermal_frames
from boltzgen.systems import MolecularSystem, load_system
from boltzgen.training.config import TrainingConfig
from boltzgen.training.recipes import likelihood_stage, reverse_kl_stage
from boltzgen.training.trainer import Progress, TrainingResult, train
from boltzgen.workflows.progress import Report, StageProgress, Stopwatch, silent

SEED_CONFORMERS = 64
SAMPLING_CHUNK = 4096
MAIN_CONFORMERS = 10


class SampleConfig(BaseModel):
    """One run, whole: what ``config.toml`` of its folder holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    molecule: str
    n_samples: int = 10_000
    temperature: float = 300.0
    forcefield: str = "mmff94"
    solvent: str = "vacuum"
    seed: int = Field(default=0, ge=0)
    budget_seconds: float | None = None
    device: str = "auto"
    frames: FramesConfig = FramesConfig()
    flow: FlowConfig = FlowConfig()
    training: TrainingConfig = TrainingConfig()


def default_budget(n_atoms: int) -> float:
    """Wall seconds for a whole run on two cores: 20 s for the smallest molecules, at most half an hour."""
    return min(max(20.0, 50.0 + 22.0 * (n_atoms - 14)), 1800.0)


@dataclass(frozen=True)
class Preparation:
    """A molecule's target density, the frames that its dynamics gave, and the coordinates fitted to them."""

    system: MolecularSystem
    target: BoltzmannTarget
    frames: ThermalFrames
    model: FlowModel


def sample(
    molecule: str,
    n: int = 10_000,
    temperature: float = 300.0,
    *,
    forcefield: str = "mmff94",
    solvent: str = "vacuum",
    seed: int = 0,
    budget: float | None = None,
    device: str = "auto",
    out: str | Path | None = None,
    report: Report = silent,
) -> Ensemble:
    """Boltzmann-weighted conformations of ``molecule`` (a SMILES, a file or a named system).

    ``temperature`` in K, ``budget`` in wall seconds for the whole run (by default chosen by molecule size).
    With ``out`` the run's files are written to that folder. Raises InputError on bad input. A run that did
    not converge says so in ``ensemble.metadata["converged"]`` and ``["warnings"]``.
    """
    config = SampleConfig(
        molecule=molecule, n_samples=n, temperature=temperature, forcefield=forcefield, solvent=solvent,
        seed=seed, budget_seconds=budget, device=device,
    )  # fmt: skip
    return run_sample(config, out, report)


def run_sample(
    config: SampleConfig,
    out: str | Path | None = None,
    report: Report = silent,
    watch: Stopwatch | None = None,
) -> Ensemble:
    """The recipe. ``watch`` may have been started earlier, so that start-up counts against the budget."""
    watch = watch or Stopwatch(report)
    _require_sane(config)
    folder = require_free_folder(out) if out is not None else None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        generator = torch.Generator(_device(config.device)).manual_seed(config.seed)
        prepared = prepare(config, generator, watch)
        training = _train(config, prepared, generator, watch)
        ensemble = _draw(config, prepared, generator, watch)
    ensemble = _judged(ensemble, config, prepared, training, watch)
    if folder is not None:
        ensemble.save(folder)
    return ensemble


def prepare(config: SampleConfig, generator: torch.Generator, watch: Stopwatch) -> Preparation:
    """Everything before training: molecule, energy, thermal frames, coordinates and an untrained model."""
    with watch.stage("seed conformers"):
        system = load_system(config.molecule, config.forcefield, config.solvent)
        molecule = system.molecule
        starts = torch.as_tensor(molecule.seed_conformers(SEED_CONFORMERS, seed=config.seed)).float()
    with watch.stage("energy"):
        target = BoltzmannTarget(compile_system(system.system), config.temperature)
    with watch.stage("dynamics", f"{config.frames.walkers} walkers"):
        masses = torch.as_tensor(molecule.masses).float()
        device = generator.device
        frames = thermal_frames(target, masses.to(device), starts.to(device), config.frames, generator)
    with watch.stage("coordinates"):
        coordinates = build_coordinates(molecule, frames.positions.double().cpu())
        model = FlowModel(coordinates, config.flow).float().to(device)
    return Preparation(system, target, frames, model)


def _train(
    config: SampleConfig, prepared: Preparation, generator: torch.Generator, watch: Stopwatch
) -> TrainingResult:
    model, settings = prepared.model, config.training
    if settings.max_steps is None:
        budget = config.budget_seconds or default_budget(prepared.target.n_atoms)
        rest = budget - watch.elapsed - _sampling_reserve(config, budget)
        settings = settings.model_copy(update={"budget_seconds": max(rest, 0.2 * budget)})

    def relay(progress: Progress) -> None:
        note = f"{progress.stage}, step {progress.step}"
        if progress.ess_fraction is not None:
            note += f", ESS {100 * progress.ess_fraction:.1f} %, KL {progress.reverse_kl:.2f}"
        watch.report(StageProgress("training", progress.fraction, progress.seconds_left, note))

    with watch.stage("training"):
        with torch.no_grad():
            torsions, stiff, _ = model.coordinates.from_positions(prepared.frames.positions)
        stages = [
            likelihood_stage(model, Internal(torsions, stiff), settings, generator),
            reverse_kl_stage(model, prepared.target, settings, generator),
        ]
        return train(model, [stage for stage in stages if stage.share > 0], settings, relay)


def _sampling_reserve(config: SampleConfig, budget: float) -> float:
    """Seconds kept back for sampling and writing: measured at 20 k samples a second and above."""
    return min(2.0 + config.n_samples / 10_000, 0.3 * budget)


@torch.no_grad()
def _draw(
    config: SampleConfig, prepared: Preparation, generator: torch.Generator, watch: Stopwatch
) -> Ensemble:
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    with watch.stage("sampling", f"{config.n_samples} samples"):
        for first in range(0, config.n_samples, SAMPLING_CHUNK):
            n = min(SAMPLING_CHUNK, config.n_samples - first)
            x, log_q = prepared.model.sample_with_log_prob(n, generator)
            parts.append((x.cpu(), prepared.target.reduced_energy(x).cpu(), log_q.cpu()))
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
        frames = prepared.frames
        last = slice(max(0, len(frames.walker) - 4 * config.frames.walkers), None)
        x = frames.positions[last]
        u = prepared.target.reduced_energy(x)
        log_weights = -u.double() - prepared.model.log_prob(x).double()
        missed = missed_walker_share(
            log_weights.cpu(), u.cpu(), frames.walker[last].cpu(), ensemble.log_z.value,
            ensemble.mean_energy.value / ensemble.kT,
        )  # fmt: skip
        verdict = judge(ensemble.effective_sample_size, ensemble.pareto_k, missed)
        conformers = _main_conformers(ensemble)
    metadata: dict[str, Any] = {
        "forcefield": config.forcefield,
        "solvent": config.solvent,
        "seed": config.seed,
        "device": str(frames.positions.device),
        "n_energy_evaluations": prepared.target.evaluations,
        "n_training_steps": training.steps,
        "n_dropped_samples": training.n_dropped,
        "n_replaced_walkers": frames.replaced,
        "training_reached_plateau": training.plateau,
        "symmetry_multiplicity": round(
            float(torch.exp(torch.as_tensor(prepared.model.coordinates.log_multiplicity)))
        ),
        "main_conformers": conformers,
        "missed_walker_share": verdict.missed_walker_share,
        "converged": verdict.converged,
        "warnings": verdict.warnings,
        "wall_seconds": {**watch.seconds, "total": watch.elapsed},
        "versions": _versions(),
    }
    return replace(ensemble, metadata=metadata)


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


def _versions() -> dict[str, str]:
    packages = ("boltzgen-conformers", "torch", "openmm", "rdkit", "numpy", "mdtraj")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def _require_sane(config: SampleConfig) -> None:
    if config.n_samples < 1:
        raise InputError(f"{config.n_samples} samples were asked for; give a positive number.")
    if not 0.0 < config.temperature < float("inf"):
        raise InputError(f"The temperature is {config.temperature} K; give a positive one.")
    if config.budget_seconds is not None and not config.budget_seconds > 0:
        raise InputError(f"The budget is {config.budget_seconds} s; give a positive time.")


def _device(name: str) -> str:
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"Device '{name}' cannot be used here; give auto, cpu or cuda.") from error
    return name
