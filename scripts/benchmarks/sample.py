"""What `boltzgen sample` delivers with default budgets, beside plain OpenMM Langevin of the same wall time.

    python scripts/benchmarks/sample.py [--molecules FILE.smi] [--samples 100000] [--without-openmm]
        [--seed 0] [--json [FILE]] [--quick]

For each molecule (by default butane, alanine dipeptide and ibuprofen; MMFF94, vacuum, 300 K, one seed):
unclipped ESS of the samples as the model makes them (no refinement), effective samples per second (training
included) and those of one OpenMM LangevinMiddle trajectory given as many seconds of a core, and whether the
mean energy, every torsion and the conformer populations agree with batched replica exchange. Agreement is
in standard errors of the difference (|z| below 4 for each of some tens of figures); a torsion's total
variation stands beside its null value, the distance between two halves of the reference.
"""

import argparse
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import openmm
import torch
from harness import (
    Benchmark,
    Column,
    Recorder,
    Row,
    add_molecules_option,
    figure,
    option_parser,
    read_molecules,
    table,
)
from openmm import unit

from boltzgen.conformers import conformer_table, found_conformers
from boltzgen.ensemble import Ensemble
from boltzgen.evaluation.metrics import torsion_distances
from boltzgen.molecules.torsions import conformer_torsions, torsion_values
from boltzgen.progress import Stopwatch
from boltzgen.report.comparison import Rows
from boltzgen.sampling.importance import Estimate
from boltzgen.sampling.tempering import ladder_estimate
from boltzgen.systems import MolecularSystem, load_system
from boltzgen.workflows.config import SampleConfig, default_budget
from boltzgen.workflows.reference import Reference, ReferenceConfig, reference_ensemble
from boltzgen.workflows.sample import run_sample

MOLECULES = {
    "butane": "CCCC",
    "alanine dipeptide": "CC(=O)N[C@@H](C)C(=O)NC",
    "ibuprofen": "CC(C)Cc1ccc(cc1)[C@@H](C)C(=O)O",
}
LEAST_POPULATION = 0.01


def with_error(key: str, form: str, scale: float = 1.0) -> Callable[[Row], str]:
    """The cell "value ± standard error"."""

    def cell(row: Row) -> str:
        return f"{format(row[key] * scale, form)} ± {format(row[key + '_stderr'] * scale, form)}"

    return cell


def worst_population(row: Row) -> str:
    """The largest |z| of a conformer's population."""
    found = [population["z"] for population in row["populations"]]
    return format(max(found, key=abs), "+.1f") if found else ""


def worst_torsion(row: Row) -> str:
    """The largest total variation of a torsion from the reference, and its null value."""
    if not row["torsions"]:
        return ""
    worst = max(row["torsions"], key=lambda torsion: torsion["total_variation"])
    return f"{worst['total_variation']:.3f} ({worst['null']:.3f})"


COLUMNS = (
    Column("molecule", figure("name")),
    Column("atoms", figure("n_atoms")),
    Column("seconds", figure("wall_seconds", ".0f")),
    Column("ESS share, unclipped", figure("ess_fraction", ".3f")),
    Column("Pareto-k", figure("pareto_k", ".2f")),
    Column("log Z", with_error("log_Z", ".3f")),
    Column("⟨U⟩ z", figure("mean_energy_z", "+.1f")),
    Column("worst population z", worst_population),
    Column("worst torsion TV (null)", worst_torsion),
    Column("eff. samples/s, training included", figure("effective_samples_per_second", ".0f")),
    Column("OpenMM Langevin's", figure("openmm_effective_samples_per_second", ".2f")),
)
POPULATION_COLUMNS = (
    Column("molecule", figure("name")),
    Column("conformer", figure("states")),
    Column("population, %", with_error("population", ".1f", 100)),
    Column("replica exchange, %", with_error("reference", ".1f", 100)),
    Column("z", figure("z", "+.1f")),
)


def tables(figures: list[dict[str, Any]]) -> list[Rows]:
    """Efficiency and agreement, then the populations of conformers."""
    populations = [
        {"name": row["name"], **population, "population_stderr": population["stderr"]}
        for row in figures
        for population in row["populations"]
    ]
    return [
        table("", figures, COLUMNS),
        table("Populations of conformers above 1 %", populations, POPULATION_COLUMNS),
    ]


BENCHMARK = Benchmark(
    "sample",
    "Default runs",
    "`boltzgen sample` with its default budget (MMFF94, vacuum, 300 K, samples as the model makes them), "
    "beside one OpenMM Langevin trajectory given as many seconds of a core. z: standard errors from batched "
    "replica exchange.",
    "OMP_NUM_THREADS=1 python scripts/benchmarks/sample.py --json",
    tables,
)


def main() -> None:
    arguments = parse_arguments()
    molecules = read_molecules(arguments.molecules) if arguments.molecules else MOLECULES
    recorder = Recorder(BENCHMARK, arguments.json, arguments.quick)
    rows: list[dict[str, Any]] = []
    for name, smiles in molecules.items():
        print(f"{name}: {smiles}", flush=True)
        rows.append({"name": name, **benchmark(smiles, arguments)})
        recorder.keep(rows)
    BENCHMARK.show(rows)


def parse_arguments() -> argparse.Namespace:
    parser = option_parser(BENCHMARK, __doc__, "a sixth of the budgets, a shorter reference")
    add_molecules_option(parser)
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--without-openmm", action="store_true", help="leave the OpenMM trajectory out")
    return parser.parse_args()


def benchmark(smiles: str, arguments: argparse.Namespace) -> dict[str, Any]:
    system = load_system(smiles)
    budget = default_budget(system.molecule.n_atoms) / (6 if arguments.quick else 1)
    config = SampleConfig(
        answer="model",
        molecule=smiles,
        n_samples=arguments.samples,
        seed=arguments.seed,
        budget_seconds=budget,
        refine="off",
    )
    ensemble = run_sample(config, watch=Stopwatch())
    wall = ensemble.metadata["wall_seconds"]["total"]
    threads = torch.get_num_threads()
    # The single-threaded trajectory has a core to itself while the reference is made on another.
    torch.set_num_threads(1)
    with ThreadPoolExecutor(1) as pool:
        running = None if arguments.without_openmm else pool.submit(openmm_langevin, system, wall)
        reference = reference_ensemble(system, ReferenceConfig(picoseconds=20 if arguments.quick else 200))
        langevin = None if running is None else running.result()
    torch.set_num_threads(threads)
    return {
        "n_atoms": system.molecule.n_atoms,
        "budget_seconds": budget,
        "wall_seconds": wall,
        "ess_fraction": ensemble.effective_sample_size_fraction,
        "ess_fraction_clipped": ensemble.statistics.clipped_effective_sample_size / len(ensemble),
        "pareto_k": ensemble.pareto_k,
        "log_Z": ensemble.log_z.value,
        "log_Z_stderr": ensemble.log_z.stderr,
        "converged": ensemble.metadata["converged"],
        "n_energy_evaluations": ensemble.metadata["n_energy_evaluations"],
        "effective_samples_per_second": ensemble.effective_sample_size / wall,
        "openmm": langevin,
        "openmm_effective_samples_per_second": langevin and langevin["effective_samples"] / wall,
        **agreement(ensemble, reference),
    }


def openmm_langevin(system: MolecularSystem, seconds: float) -> dict[str, Any]:
    """One LangevinMiddle trajectory (1 fs) of ``seconds`` of a core; and its independent frames."""
    from pymbar import timeseries  # prints advice when it is imported

    integrator = openmm.LangevinMiddleIntegrator(300 * unit.kelvin, 1 / unit.picosecond, 0.001)
    integrator.setRandomNumberSeed(1)
    context = openmm.Context(system.system, integrator, openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(system.molecule.seed_conformers(1, seed=0)[0])
    context.setVelocitiesToTemperature(300, 1)
    frames, energies = [], []
    start = time.thread_time()
    while time.thread_time() - start < seconds:
        integrator.step(100)
        state = context.getState(getPositions=True, getEnergy=True)
        frames.append(state.getPositions(asNumpy=True).value_in_unit(unit.nanometer))
        energies.append(state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole))
    settled = len(frames) // 10
    torsions = conformer_torsions(system.molecule)
    values = torsion_values(np.array(frames[settled:], dtype=np.float32), torsions)
    observables = [np.array(energies[settled:])]
    observables += [f(values[:, i]) for i in range(len(torsions)) for f in (np.cos, np.sin)]
    inefficiency = max(timeseries.statistical_inefficiency(o) for o in observables if np.std(o) > 0)
    return {
        "picoseconds": 0.1 * len(frames),
        "effective_samples": len(observables[0]) / inefficiency,
        "mean_energy_kJ_mol": float(observables[0].mean()),
    }


def agreement(ensemble: Ensemble, reference: Reference) -> dict[str, Any]:
    """Mean energy, torsion histograms and populations of both, and how many standard errors lie between."""

    def z_score(ours: Estimate, theirs: Estimate) -> float:
        error = math.hypot(ours.stderr, theirs.stderr)
        return (ours.value - theirs.value) / error if error > 0 else 0.0

    frames = reference.ensemble
    table = found_conformers(frames.molecule, frames.positions, frames.energies)
    mine = conformer_table(table.torsion_states, ensemble.positions, ensemble.weights, ensemble.energies)
    ours = {conformer.states: conformer.population for conformer in mine.conformers}
    populations = []
    for rank, conformer in enumerate(table.conformers):
        if conformer.population.value < LEAST_POPULATION:
            break
        members = torch.as_tensor((table.assignment == rank).astype(float))
        theirs = ladder_estimate(reference.by_ladder(members)).mean
        found = ours.get(conformer.states, Estimate(0.0, 0.0))
        populations.append(
            {
                "states": conformer.label,
                "population": found.value,
                "stderr": found.stderr,
                "reference": theirs.value,
                "reference_stderr": theirs.stderr,
                "z": z_score(found, theirs),
            }
        )
    torsions = torsion_distances(frames.molecule, ensemble.positions, ensemble.weights, frames.positions)
    energy = reference.energy.mean
    return {
        "mean_energy_kJ_mol": ensemble.mean_energy.value,
        "mean_energy_stderr_kJ_mol": ensemble.mean_energy.stderr,
        "reference_mean_energy_kJ_mol": energy.value,
        "reference_mean_energy_stderr_kJ_mol": energy.stderr,
        "mean_energy_z": z_score(ensemble.mean_energy, energy),
        "reference_converged": reference.converged,
        "populations": populations,
        "torsions": [
            {"torsion": name, "total_variation": distance.value, "null": distance.null}
            for name, distance in torsions.items()
        ],
    }


if __name__ == "__main__":
    main()
