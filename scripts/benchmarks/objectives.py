"""Every training objective on one molecule, at equal energy evaluations and at equal wall time.

    python scripts/benchmarks/objectives.py [--molecules FILE.smi] [--objectives NAME ...] [--seconds 300]
        [--evaluations 3000000] [--seeds 0 1 2] [--json [FILE]] [--quick]

All objectives of a seed start from the same frames, coordinates and untrained flow (default molecule: alanine
dipeptide, MMFF94, vacuum, 300 K) after the same likelihood warm-up. "trust-region" is the variant of
"annealed" with bounds on KL and entropy. "likelihood" learns from the frames of the reference instead of the
energy. Each is measured by 20,000 samples of its own (unclipped ESS, Pareto-k, log Z) and by frames of
replica exchange: forward ESS, −E_p[log q] in nats; of unweighted samples, the share of conformers above 1 %
reached, the largest total variation of a torsion with its null value, and for peptides the Ramachandran total
variation. Evaluations, wall seconds and CPU seconds are those of training alone; where CPU seconds differ at
equal wall time, the machine had other work to do and the comparison means little.
"""

import argparse
import copy
import statistics
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from harness import (
    Benchmark,
    Column,
    Recorder,
    add_molecules_option,
    figure,
    option_parser,
    read_molecules,
    table,
)
from reference_frames import forward

from boltzgen.conformers import find_states
from boltzgen.ensemble import Ensemble
from boltzgen.evaluation.metrics import mode_coverage, ramachandran_total_variation, torsion_distances
from boltzgen.models.flow import FlowModel
from boltzgen.molecules.torsions import ramachandran_torsions, torsion_values
from boltzgen.objectives.walkers import Walkers
from boltzgen.problem import Problem
from boltzgen.progress import Stopwatch
from boltzgen.report.comparison import Rows
from boltzgen.sampling.frames import FramesConfig, thermal_dynamics
from boltzgen.systems import load_system
from boltzgen.training.config import AnnealedConfig, TrainingConfig
from boltzgen.training.families import untrained_model
from boltzgen.training.recipes import flow_stages
from boltzgen.training.trainer import train
from boltzgen.workflows.config import SampleConfig
from boltzgen.workflows.preparation import prepare
from boltzgen.workflows.reference import ReferenceConfig, reference_ensemble
from boltzgen.workflows.sampling import draw
from boltzgen.workflows.training_data import energy_data, internal_frames

MOLECULES = {"alanine dipeptide": "CC(=O)N[C@@H](C)C(=O)NC"}
OBJECTIVES = ("reverse-kl", "guided", "walkers", "mass-covering", "annealed", "trust-region", "likelihood")
SAMPLES = 20_000
REFERENCE_FRAMES = 10_000


COLUMNS = (
    Column("objective", figure("objective")),
    Column("steps", figure("steps", ".0f")),
    Column("evaluations", figure("evaluations", ".2e")),
    Column("seconds", figure("seconds", ".0f")),
    Column("CPU s", figure("cpu_seconds", ".0f")),
    Column("ESS share", figure("ess_fraction", ".3f")),
    Column("± half its range", figure("ess_fraction_half_range", ".3f")),
    Column("Pareto-k", figure("pareto_k", ".2f")),
    Column("forward ESS", figure("forward_ess_fraction", ".3f")),
    Column("−E_p[log q]", figure("cross_entropy", ".2f")),
    Column("log Z", figure("log_Z", ".2f")),
    Column("its standard error", figure("log_Z_stderr", ".2f")),
    Column("worst torsion TV", figure("worst_torsion_tv", ".3f")),
    Column("its null value", figure("worst_torsion_tv_null", ".3f")),
    Column("Ramachandran TV", figure("ramachandran_tv", ".3f")),
    Column("mode mass reached, %", figure("mode_mass_reached", ".1f", 100)),
)


def tables(figures: list[dict[str, Any]]) -> list[Rows]:
    """A table for every molecule and kind of budget: means over seeds."""
    return [
        table(f"{molecule}, equal {budget}", _means(figures, molecule, budget), COLUMNS)
        for molecule, budget in sorted({(row["molecule"], row["equal"]) for row in figures})
    ]


def _means(figures: list[dict[str, Any]], molecule: str, budget: str) -> list[dict[str, Any]]:
    """Of every objective the means of its figures over seeds."""
    rows = []
    for objective in OBJECTIVES:
        wanted = (molecule, budget, objective)
        chosen = [row for row in figures if (row["molecule"], row["equal"], row["objective"]) == wanted]
        if not chosen:
            continue
        keys = [key for key, value in chosen[0].items() if isinstance(value, int | float)]
        ess = [row["ess_fraction"] for row in chosen]
        means = {key: _mean([row.get(key) for row in chosen]) for key in keys}
        rows.append({**means, "objective": objective, "ess_fraction_half_range": (max(ess) - min(ess)) / 2})
    return rows


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if len(known) == len(values) else None


BENCHMARK = Benchmark(
    "objectives",
    "Training objectives",
    "Every objective of the flow from the same start, at equal energy evaluations and at equal time. "
    "`trust-region` is `annealed` with bounds on KL and entropy; `likelihood` learns from frames of the "
    "reference. `mode mass reached` is the share of the reference's conformers above 1 % in samples "
    "without weights.",
    "OMP_NUM_THREADS=1 python scripts/benchmarks/objectives.py --seconds 100 --evaluations 600000 "
    "--seeds 0 --json",
    tables,
)


def main() -> None:
    arguments = parse_arguments()
    molecules = read_molecules(arguments.molecules) if arguments.molecules else MOLECULES
    recorder = Recorder(BENCHMARK, arguments.json, arguments.quick)
    rows: list[dict[str, Any]] = []
    for name, smiles in molecules.items():
        settings = ReferenceConfig(picoseconds=20 if arguments.quick else 400)
        reference = reference_ensemble(load_system(smiles), settings).ensemble
        for seed in arguments.seeds:
            for row in benchmark(name, smiles, reference, seed, arguments):
                rows.append(row)
                print(f"{name}, seed {seed}: {row['objective']} at equal {row['equal']}", flush=True)
                recorder.keep(rows)
    BENCHMARK.show(rows)


def parse_arguments() -> argparse.Namespace:
    parser = option_parser(BENCHMARK, __doc__, "15 s and 60,000 evaluations, short reference")
    add_molecules_option(parser)
    parser.add_argument("--objectives", nargs="+", choices=OBJECTIVES, default=OBJECTIVES)
    parser.add_argument("--seconds", type=float, default=300.0, help="wall time of each training")
    parser.add_argument("--evaluations", type=float, default=3e6, help="energies of each training")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    if parser.parse_args().quick:
        parser.set_defaults(seconds=15.0, evaluations=6e4)
    return parser.parse_args()


def benchmark(
    name: str, smiles: str, reference: Ensemble, seed: int, arguments: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    frames = FramesConfig(picoseconds=3.0) if arguments.quick else FramesConfig()
    config = SampleConfig(molecule=smiles, seed=seed, frames=frames, device="cpu")
    torch.manual_seed(seed)
    problem = prepare(config, torch.Generator().manual_seed(seed), Stopwatch())
    model = untrained_model(config.model, config.model_settings, problem)
    assert isinstance(model, FlowModel)
    for budget in ("evaluations", "seconds"):
        for objective in arguments.objectives:
            if objective == "likelihood" and budget == "evaluations":
                continue  # it evaluates no energy
            row = {"molecule": name, "seed": seed, "equal": budget, "objective": objective}
            row |= trained(problem, copy.deepcopy(model), reference, objective, budget, seed, arguments)
            yield row


def trained(
    problem: Problem,
    model: FlowModel,
    reference: Ensemble,
    objective: str,
    budget: str,
    seed: int,
    arguments: argparse.Namespace,
) -> dict[str, Any]:
    target = problem.target
    generator = torch.Generator().manual_seed(seed)
    positions = problem.frames.thermal.positions
    if objective == "likelihood":
        positions = torch.as_tensor(reference.positions).float()
    settings = TrainingConfig(budget_seconds=arguments.seconds)
    if objective == "trust-region":
        settings = settings.model_copy(
            update={"objective": "annealed", "annealed": AnnealedConfig(trust_region=True)}
        )
    else:
        settings = settings.model_copy(update={"objective": objective})
    if budget == "evaluations":
        settings = settings.model_copy(
            update={"max_steps": affordable_steps(settings, arguments.evaluations)}
        )
    began, cpu, before = time.monotonic(), time.process_time(), target.evaluations
    walkers = None
    if objective == "walkers":
        dynamics = thermal_dynamics(target, problem.masses, time_step=0.002, friction=5.0)
        walkers = Walkers(dynamics, positions, settings.walkers.number, generator)
    data = replace(energy_data(problem, model, generator), walkers=walkers)
    if objective == "likelihood":
        data = replace(data, frames=internal_frames(model, positions))
    result = train(model, flow_stages(model, data, settings), settings)
    row = {
        "steps": result.steps,
        "evaluations": target.evaluations - before,
        "seconds": time.monotonic() - began,
        "cpu_seconds": time.process_time() - cpu,
        "plateau": result.plateau,
        "dropped": result.n_dropped,
    }
    if walkers is not None:
        row |= {"replaced_walkers": walkers.replaced, "proposal_acceptance": walkers.acceptance}
    return row | measured(model, problem, reference, generator)


def affordable_steps(settings: TrainingConfig, evaluations: float) -> int:
    """Training steps, warm-up included, that cost ``evaluations`` energies."""
    batch = settings.batch_size
    if settings.objective == "walkers":
        per_step: float = batch + settings.walkers.number * settings.walkers.steps
    elif settings.objective == "mass-covering":
        mass = settings.mass_covering
        per_step = mass.particles * (1 + mass.stages * mass.leapfrog) / mass.refresh_every
    elif settings.objective == "annealed":
        annealed = settings.annealed
        cooling = 1.0 - annealed.hot_share
        # A round draws whole sets of samples, each for so many steps.
        steps_a_set = max(annealed.samples // batch, 1)
        rounds = annealed.rungs + annealed.repeats
        sets = max(evaluations / (batch * annealed.hot_share / cooling * steps_a_set + annealed.samples), 1.0)
        whole = max(int(sets / rounds), 1) * rounds
        return int(whole * steps_a_set / cooling / (1.0 - settings.warmup_share))
    else:
        per_step = batch
    return max(int(evaluations / per_step / (1.0 - settings.warmup_share)), 20)


def measured(
    model: FlowModel, problem: Problem, reference: Ensemble, generator: torch.Generator
) -> dict[str, Any]:
    molecule, target = problem.molecule, problem.target
    ensemble = draw(model, target, molecule, SAMPLES, generator, Stopwatch())
    every = max(len(reference.positions) // REFERENCE_FRAMES, 1)
    frames = reference.positions[::every]
    seen = forward(model, target, frames, reference.effective_sample_size)
    uniform = np.ones(SAMPLES)
    torsions = torsion_distances(molecule, ensemble.positions, uniform, frames).values()
    worst = max(torsions, key=lambda distance: distance.value - distance.null)
    states = find_states(molecule, frames, np.ones(len(frames)))
    coverage = mode_coverage(states, ensemble.positions, uniform, frames)
    row = {
        "ess_fraction": ensemble.effective_sample_size_fraction,
        "pareto_k": ensemble.pareto_k,
        "log_Z": ensemble.log_z.value,
        "log_Z_stderr": ensemble.log_z.stderr,
        "forward_ess_fraction": seen.ess_fraction,
        "cross_entropy": seen.cross_entropy.value,
        "reference_frames_outside_the_model": seen.n_outside,
        "worst_torsion_tv": worst.value,
        "worst_torsion_tv_null": worst.null,
        "mode_mass_reached": coverage.mass_reached,
    }
    if pairs := ramachandran_torsions(molecule):
        ours, theirs = (torsion_values(p, list(pairs[0])) for p in (ensemble.positions, frames))
        distance = ramachandran_total_variation(ours, uniform, theirs)
        row |= {"ramachandran_tv": distance.value, "ramachandran_tv_null": distance.null}
    return row


if __name__ == "__main__":
    main()
