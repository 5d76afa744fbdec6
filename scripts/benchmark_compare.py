"""All generative models side by side, each with the same budget, against one replica-exchange reference.

    python scripts/benchmark_compare.py [--molecules FILE.smi] [--models NAMES] [--budget SECONDS] [--seed 0]
        [--pages FOLDER] [--json FILE] [--quick]

For each molecule (by default butane and alanine dipeptide; MMFF94, vacuum, 300 K, one seed) what
`boltzgen compare` prints: distances of every model to the reference beside their null values, what it cost,
and which of the claims about the models hold. `--pages FOLDER` keeps the pages with the pictures.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from molecule_list import read_molecules
from rich.console import Console

from boltzgen.ensemble_folder import summary_text
from boltzgen.report.comparison import print_comparison
from boltzgen.training.config import TrainingConfig
from boltzgen.workflows.compare import run_compare
from boltzgen.workflows.contestants import CompareConfig

MOLECULES = {"butane": "CCCC", "alanine dipeptide": "CC(=O)N[C@@H](C)C(=O)NC"}
QUICK = {"n_samples": 2000, "reference_picoseconds": 20.0}
QUICK_STEPS = 100


def main() -> None:
    arguments = parse_arguments()
    rows = []
    for name, smiles in molecules(arguments).items():
        print(f"{name}: {smiles}", flush=True)
        rows.append({"name": name, **compared(name, smiles, arguments)})
        if arguments.json:
            arguments.json.write_text(json.dumps(rows, indent=2, ensure_ascii=False) + "\n")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--molecules", type=Path, help="SMILES and name per line")
    parser.add_argument("--models", help="names with commas between them, by default all")
    parser.add_argument("--budget", type=float, help="seconds of training of each model")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--pages", type=Path, help="folder for a page of each molecule")
    parser.add_argument(
        "--quick", action="store_true", help="butane, 100 steps of training, a short reference"
    )
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
        **(QUICK if arguments.quick else {}),
    )
    folder = None if arguments.pages is None else arguments.pages / name.replace(" ", "-")
    summary = json.loads(summary_text(run_compare(config, folder).summary()))
    print_comparison(Console(width=160), summary, folder)
    return summary


if __name__ == "__main__":
    main()
