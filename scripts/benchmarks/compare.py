"""All generative models side by side, each with the same budget, against one replica-exchange reference.

    python scripts/benchmarks/compare.py [--molecules FILE.smi] [--models NAMES] [--budget SECONDS] [--seed 0]
        [--pages FOLDER] [--json [FILE]] [--quick]

For each molecule (by default butane and alanine dipeptide; MMFF94, vacuum, 300 K, one seed) what
`boltzgen compare` prints: distances of every model to the reference beside their null values, what it cost,
and which of the claims about the models hold. `--pages FOLDER` keeps the pages with the pictures.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness import Benchmark, Recorder, add_molecules_option, option_parser, read_molecules
from rich.console import Console

from boltzgen.records.comparison import ComparisonSummary
from boltzgen.report.comparison import Rows, comparison_tables, print_comparison
from boltzgen.settings import validated
from boltzgen.training.config import TrainingConfig
from boltzgen.workflows.compare import run_compare
from boltzgen.workflows.comparison_entries import CompareConfig

MOLECULES = {"butane": "CCCC", "alanine dipeptide": "CC(=O)N[C@@H](C)C(=O)NC"}
SAMPLES, QUICK_SAMPLES = 10_000, 2000
REFERENCE_PICOSECONDS, QUICK_PICOSECONDS = 200.0, 20.0
QUICK_STEPS = 100


def tables(figures: list[dict[str, Any]]) -> list[Rows]:
    """The tables of every molecule, without standard errors."""
    return [
        rows._replace(title=f"{molecule['name']}. {rows.title}")
        for molecule in figures
        for rows in comparison_tables(comparison_record(molecule), errors=False)
    ]


BENCHMARK = Benchmark(
    "compare",
    "Models side by side",
    "Every model with the same frames and the same training time, measured against one replica-exchange "
    "reference. The null value of a distance is the one between two halves of the reference.",
    "python scripts/benchmarks/compare.py --json",
    tables,
)


def comparison_record(figures: Mapping[str, Any]) -> ComparisonSummary:
    """The comparison among ``figures`` of a molecule, which have its name beside."""
    return validated(ComparisonSummary, **{key: value for key, value in figures.items() if key != "name"})


def main() -> None:
    arguments = parse_arguments()
    recorder = Recorder(BENCHMARK, arguments.json, arguments.quick)
    figures = []
    for name, smiles in molecules(arguments).items():
        print(f"{name}: {smiles}", flush=True)
        figures.append({"name": name, **compared(name, smiles, arguments)})
        recorder.keep(figures)


def parse_arguments() -> argparse.Namespace:
    parser = option_parser(BENCHMARK, __doc__, "butane, 100 steps of training, a short reference")
    add_molecules_option(parser)
    parser.add_argument("--models", help="names with commas between them, by default all")
    parser.add_argument("--budget", type=float, help="seconds of training of each model")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pages", type=Path, help="folder for a page of each molecule")
    return parser.parse_args()


def molecules(arguments: argparse.Namespace) -> dict[str, str]:
    if arguments.molecules is not None:
        return read_molecules(arguments.molecules)
    return {"butane": MOLECULES["butane"]} if arguments.quick else MOLECULES


def compared(name: str, smiles: str, arguments: argparse.Namespace) -> dict[str, Any]:
    steps = QUICK_STEPS if arguments.quick and arguments.budget is None else None
    config = CompareConfig(
        molecule=smiles,
        models=tuple(arguments.models.split(",")) if arguments.models else (),
        seed=arguments.seed,
        budget_seconds=arguments.budget,
        training=TrainingConfig(max_steps=steps),
        n_samples=QUICK_SAMPLES if arguments.quick else SAMPLES,
        reference_picoseconds=QUICK_PICOSECONDS if arguments.quick else REFERENCE_PICOSECONDS,
    )
    folder = None if arguments.pages is None else arguments.pages / name.replace(" ", "-")
    summary = run_compare(config, folder).summary()
    print_comparison(Console(width=160), summary, folder)
    return json.loads(summary.to_json())


if __name__ == "__main__":
    main()
