"""Flexible molecules from their SMILES alone, beside replica exchange of the same wall time.

    python scripts/benchmarks/molecules.py [--molecules FILE.smi] [--names NAME ...] [--budget SECONDS]
        [--samples 10000] [--reference-picoseconds 400] [--seed 0] [--json [FILE]] [--quick]

For each molecule (by default twelve of tests/molecules.smi with three soft torsions or more; MMFF94, vacuum,
300 K): unclipped ESS share of the model's samples and after refinement, Pareto-k, conformers of at least 1 %
in the reference that are reached, and the largest total variation of a torsion beside its null value (two
halves of the reference). Effective samples a second are those of the whole run, training included, and those
of batched replica exchange: its effective sample size over its own wall seconds, so that equal times are
compared. The reference's sample size is that of its slowest torsion.
"""

import argparse
from typing import Any

from harness import (
    ROOT,
    Benchmark,
    Column,
    Recorder,
    add_molecules_option,
    figure,
    option_parser,
    read_molecules,
    table,
)

from boltzgen.conformers import find_states
from boltzgen.errors import InputError, NotConvergedError
from boltzgen.evaluation.metrics import mode_coverage, torsion_distances
from boltzgen.report.comparison import Rows
from boltzgen.systems import load_system
from boltzgen.workflows.config import SampleConfig, default_budget
from boltzgen.workflows.reference import ReferenceConfig, reference_ensemble
from boltzgen.workflows.sample import run_sample

LIST = ROOT / "tests" / "molecules.smi"
FLEXIBLE = (
    "alanine-dipeptide", "ibuprofen", "aspirin", "glycine-neutral", "methyl-phosphate", "triethylamine",
    "naproxen", "melatonin", "imipramine", "beta-glucose", "hydrochlorothiazide", "penicillin-G",
)  # fmt: skip
MOST_SECONDS = 600.0
QUICK = ("glycine-neutral", "methyl-phosphate")


COLUMNS = (
    Column("molecule", figure("name")),
    Column("atoms", figure("n_atoms")),
    Column("seconds", figure("wall_seconds", ".0f")),
    Column("evaluations", figure("n_energy_evaluations", ".2e")),
    Column("ESS share of the model's samples", figure("model_ess_fraction", ".3f")),
    Column("as delivered", figure("ess_fraction", ".3f")),
    Column("Pareto-k", figure("pareto_k", ".2f")),
    Column("conformers ≥ 1 %", lambda row: f"{row['n_conformers_reached']} of {row['n_conformers']}"),
    Column("worst torsion TV", figure("worst_torsion_tv", ".3f")),
    Column("its null value", figure("worst_torsion_tv_null", ".3f")),
    Column("eff. samples/s", figure("effective_samples_per_second", ".1f")),
    Column("replica exchange's", figure("reference_effective_samples_per_second", ".1f")),
    Column("converged", lambda row: "yes" if row["converged"] else "no"),
)
FAILED_COLUMNS = (Column("molecule", figure("name")), Column("failure", figure("error")))


def tables(figures: list[dict[str, Any]]) -> list[Rows]:
    """What was measured, and what failed."""
    failed = [row for row in figures if "error" in row]
    found = [table("", [row for row in figures if "error" not in row], COLUMNS)]
    return [*found, table("Failed", failed, FAILED_COLUMNS)] if failed else found


BENCHMARK = Benchmark(
    "molecules",
    "Flexible molecules",
    "`boltzgen sample` from the SMILES alone (MMFF94, vacuum, 300 K), beside batched replica exchange on the "
    "same machine. Effective samples a second are those of the whole run, training included.",
    "OMP_NUM_THREADS=1 python scripts/benchmarks/molecules.py --samples 50000 "
    "--reference-picoseconds 200 --json",
    tables,
)


def main() -> None:
    arguments = parse_arguments()
    recorder = Recorder(BENCHMARK, arguments.json, arguments.quick)
    rows: list[dict[str, Any]] = []
    for name, smiles in chosen_molecules(arguments).items():
        print(f"{name}: {smiles}", flush=True)
        try:
            rows.append({"name": name, **benchmark(smiles, arguments)})
        except (InputError, NotConvergedError) as error:
            rows.append({"name": name, "smiles": smiles, "error": str(error)})
        recorder.keep(rows)
    BENCHMARK.show(rows)


def parse_arguments() -> argparse.Namespace:
    parser = option_parser(BENCHMARK, __doc__, "two small molecules, 30 s each, 20 ps")
    add_molecules_option(parser, "SMILES and name per line; all of them are run")
    parser.add_argument("--names", nargs="+", help="only these of the list")
    parser.add_argument(
        "--budget", type=float, help="wall seconds for each molecule; by default its own, at most 600"
    )
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--reference-picoseconds", type=float, default=400.0)
    parser.add_argument("--seed", type=int, default=0)
    if parser.parse_args().quick:
        parser.set_defaults(budget=30.0, reference_picoseconds=20.0)
    return parser.parse_args()


def chosen_molecules(arguments: argparse.Namespace) -> dict[str, str]:
    listed = read_molecules(arguments.molecules or LIST)
    names = arguments.names or (QUICK if arguments.quick else FLEXIBLE)
    if arguments.molecules and not arguments.names:
        return listed
    if unknown := [name for name in names if name not in listed]:
        raise SystemExit(f"'{unknown[0]}' is not in the list; it has {', '.join(listed)}")
    return {name: listed[name] for name in names}


def benchmark(smiles: str, arguments: argparse.Namespace) -> dict[str, Any]:
    system = load_system(smiles)
    budget = arguments.budget or min(default_budget(system.molecule.n_atoms), MOST_SECONDS)
    config = SampleConfig(
        answer="model",
        molecule=smiles,
        n_samples=arguments.samples,
        seed=arguments.seed,
        budget_seconds=budget,
    )
    ensemble = run_sample(config)
    summary = ensemble.summary()
    wall = summary["wall_seconds"]["total"]
    reference = reference_ensemble(
        system, ReferenceConfig(picoseconds=arguments.reference_picoseconds)
    ).ensemble
    frames, reference_wall = reference.positions, reference.metadata["wall_seconds"]["total"]
    states = find_states(reference.molecule, frames, reference.weights)
    coverage = mode_coverage(states, ensemble.positions, ensemble.weights, frames)
    distances = torsion_distances(ensemble.molecule, ensemble.positions, ensemble.weights, frames)
    worst = max(distances, key=lambda name: distances[name].value)
    return {
        "smiles": smiles,
        "n_atoms": summary["n_atoms"],
        "n_torsions": len(distances),
        "budget_seconds": budget,
        "wall_seconds": wall,
        "n_energy_evaluations": summary["n_energy_evaluations"],
        "device": summary["device"],
        "model_ess_fraction": summary["model_effective_sample_size_fraction"],
        "ess_fraction": ensemble.effective_sample_size_fraction,
        "refinement": summary.get("refinement"),
        "pareto_k": ensemble.pareto_k,
        "converged": summary["converged"],
        "warnings": summary["warnings"],
        "n_conformers": coverage.n_conformers,
        "n_conformers_reached": coverage.n_reached,
        "missed_conformers": coverage.missed,
        "worst_torsion": worst,
        "worst_torsion_tv": distances[worst].value,
        "worst_torsion_tv_null": distances[worst].null,
        "torsion_tv": {name: [d.value, d.null] for name, d in distances.items()},
        "effective_samples_per_second": ensemble.effective_sample_size / wall,
        "reference_effective_samples_per_second": reference.effective_sample_size / reference_wall,
        "reference_effective_samples": reference.effective_sample_size,
        "reference_wall_seconds": reference_wall,
        "reference_evaluations": reference.metadata["n_energy_evaluations"],
        "reference_converged": reference.metadata["converged"],
        "reference_warnings": reference.metadata["warnings"],
    }


if __name__ == "__main__":
    main()
