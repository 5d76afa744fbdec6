"""Time from a SMILES to ten thousand effective samples, beside the run's own replica exchange.

    python scripts/benchmarks/time_to_answer.py [--molecules FILE.smi] [--names NAME ...] [--effective 10000]
        [--seed 0] [--reference-picoseconds 0] [--json [FILE]] [--resume] [--quick]

Each molecule is one command, ``boltzgen sample SMILES -n 2N --effective N``, in a process of its own with its
default budget: the wall seconds include the start of Python, and so do the seconds of a core, which other
work on the machine changes less. ``--resume`` leaves out the molecules that the record has already. Molecules
are by default those of ``small.smi`` and ``drug_like.smi`` beside this file, which are told apart by their
size. A molecule counts as reached where the run has converged and the standard error of its free energy is
below 0.02 kT. Replica exchange's rate is that of the run's own ladders on the same core. With
``--reference-picoseconds`` a longer replica exchange judges the samples: mean energy in joint standard
errors, and the largest total variation of a torsion beside its null value.
"""

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
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

from boltzgen.ensemble import Ensemble
from boltzgen.evaluation.metrics import torsion_distances
from boltzgen.report.comparison import Rows
from boltzgen.systems import load_system
from boltzgen.workflows.reference import ReferenceConfig, reference_ensemble

LISTS = [Path(__file__).with_name(name) for name in ("small.smi", "drug_like.smi")]
SMALL = 35  # atoms at most of a small molecule
QUICK = ("butyl-acetate", "glycerol")
WANTED_ERROR = 0.02  # kT, of the free energy
RUN = "from boltzgen.cli import main; main()"

COLUMNS = (
    Column("molecule", figure("name")),
    Column("atoms", figure("n_atoms")),
    Column("seconds", figure("seconds", ".0f")),
    Column("core seconds", figure("core_seconds", ".0f")),
    Column("training, s", figure("training_seconds", ".1f")),
    Column("ESS share of the model", figure("model_share", ".4f")),
    Column("effective samples", figure("effective_samples", ".0f")),
    Column("Pareto-k", figure("pareto_k", ".2f")),
    Column("ln Z", lambda row: _log_z(row)),
    Column("effective/s", figure("effective_per_second", ".0f")),
    Column("replica exchange's", figure("replica_exchange_per_second", ".1f")),
    Column("⟨U⟩ z", figure("mean_energy_z", "+.1f")),
    Column("worst torsion TV (null)", lambda row: _variation(row)),
    Column("answer", figure("answer")),
    Column("reached", lambda row: "yes" if row["reached"] else "no"),
)
FAILED_COLUMNS = (Column("molecule", figure("name")), Column("what it says", figure("error")))


def _log_z(row: dict[str, Any]) -> str:
    if row["log_Z"] is None:
        return ""
    return f"{row['log_Z']:.3f} ± {row['log_Z_stderr']:.3f}"


def _variation(row: dict[str, Any]) -> str:
    if "worst_torsion_tv" not in row:
        return ""
    return f"{row['worst_torsion_tv']:.3f} ({row['worst_torsion_tv_null']:.3f})"


def tables(figures: list[dict[str, Any]]) -> list[Rows]:
    """What was measured, small molecules and others, each with the median; and what failed."""
    measured = sorted((row for row in figures if "error" not in row), key=lambda row: row["seconds"])
    failed = [row for row in figures if "error" in row]
    small = [row for row in measured if row["n_atoms"] <= SMALL]
    large = [row for row in measured if row["n_atoms"] > SMALL]
    found = [
        table(f"{kind}: {_title(rows)}", rows, COLUMNS)
        for kind, rows in ((f"Up to {SMALL} atoms", small), (f"More than {SMALL} atoms", large))
        if rows
    ]
    return [*found, table("Failed", failed, FAILED_COLUMNS)] if failed else found


def _title(rows: list[dict[str, Any]]) -> str:
    reached = sum(row["reached"] for row in rows)
    ahead = sum(row["effective_per_second"] > row["replica_exchange_per_second"] for row in rows)
    core = sorted(row["core_seconds"] for row in rows if "core_seconds" in row)
    of_a_core = f" ({core[len(core) // 2]:.0f} and {core[-1]:.0f} s of a core)" if core else ""
    wall = f"median {rows[len(rows) // 2]['seconds']:.0f} s, longest {rows[-1]['seconds']:.0f} s"
    return f"{wall}{of_a_core}; {reached} of {len(rows)} reached; {ahead} ahead of their own replica exchange"


BENCHMARK = Benchmark(
    "time_to_answer",
    "Time to the answer",
    "`boltzgen sample SMILES -n 20000 --effective 10000` from the SMILES alone (MMFF94, vacuum, 300 K), each "
    "in a process of its own, start-up included, beside the replica exchange of the same run.",
    "OMP_NUM_THREADS=1 python scripts/benchmarks/time_to_answer.py --json",
    tables,
)


def main() -> None:
    arguments = parse_arguments()
    recorder = Recorder(BENCHMARK, arguments.json, arguments.quick)
    rows = kept_rows(arguments.json) if arguments.resume else []
    measured = {row["name"] for row in rows}
    lists = [arguments.molecules] if arguments.molecules else LISTS
    listed = {name: smiles for path in lists for name, smiles in read_molecules(path).items()}
    for name in arguments.names or (QUICK if arguments.quick and not arguments.molecules else listed):
        if name in measured:
            continue
        print(f"{name}: {listed[name]}", flush=True)
        rows.append({"name": name, **benchmark(listed[name], arguments)})
        recorder.keep(rows)
    BENCHMARK.show(rows)


def kept_rows(record: Path | None) -> list[dict[str, Any]]:
    """The rows of the record, if there is one."""
    if record is None or not record.exists():
        return []
    return list(json.loads(record.read_text(encoding="utf-8"))["figures"])


def parse_arguments() -> argparse.Namespace:
    parser = option_parser(BENCHMARK, __doc__, "two small molecules, a tenth of the samples")
    add_molecules_option(parser)
    parser.add_argument("--names", nargs="+", help="only these of the list")
    parser.add_argument("--effective", type=int, default=10_000)
    parser.add_argument("--reference-picoseconds", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true", help="leave out what the record has already")
    if parser.parse_args().quick:
        parser.set_defaults(effective=1000)
    return parser.parse_args()


def benchmark(smiles: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """One molecule; what the command said where it gave no samples."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        wanted = str(arguments.effective)
        options = ["-n", str(2 * arguments.effective), "--effective", wanted, "--seed", str(arguments.seed)]
        began, core_before = time.monotonic(), _core_seconds()
        done = subprocess.run(
            [sys.executable, "-c", RUN, "sample", smiles, *options, "--json", "-o", str(out)],
            capture_output=True,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        seconds = time.monotonic() - began
        if done.returncode not in (0, 3, 4):
            return {"smiles": smiles, "seconds": seconds, "error": done.stderr.strip().splitlines()[-1]}
        summary = json.loads(done.stdout)
        row = figures_of(summary, smiles, seconds) | {"core_seconds": _core_seconds() - core_before}
        if arguments.reference_picoseconds:
            row |= beside_reference(Ensemble.load(out), smiles, arguments.reference_picoseconds)
    return row


def _core_seconds() -> float:
    """User and system seconds of all processes that were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def figures_of(summary: dict[str, Any], smiles: str, seconds: float) -> dict[str, Any]:
    """What the summary of a run says of its answer."""
    error = summary.get("free_energy_stderr_kT")
    return {
        "smiles": smiles,
        "n_atoms": summary["n_atoms"],
        "seconds": seconds,
        "wall_seconds": summary["wall_seconds"],
        "training_seconds": summary["training_seconds"],
        "n_training_steps": summary["n_training_steps"],
        "n_training_divergences": summary["n_training_divergences"],
        "training_stopped_because": summary["training_stopped_because"],
        "model_share": summary["model_effective_sample_size_fraction"],
        "effective_samples": summary["effective_sample_size"],
        "pareto_k": summary["pareto_k"],
        "answer": summary["answer"],
        "log_Z": summary.get("log_Z"),
        "log_Z_stderr": error,
        "effective_per_second": summary["effective_sample_size"] / seconds,
        "replica_exchange_per_second": summary["replica_exchange_effective_samples_per_second"] or math.nan,
        "converged": summary["converged"],
        "warnings": summary["warnings"],
        "reached": summary["converged"] and error is not None and error < WANTED_ERROR,
    }


def beside_reference(ensemble: Ensemble, smiles: str, picoseconds: float) -> dict[str, Any]:
    """The samples beside a replica exchange of so many picoseconds."""
    found = reference_ensemble(load_system(smiles), ReferenceConfig(picoseconds=picoseconds))
    mean, energy = ensemble.mean_energy, found.energy.mean
    distances = torsion_distances(
        ensemble.molecule, ensemble.positions, ensemble.weights, found.ensemble.positions
    )
    row: dict[str, Any] = {
        "mean_energy_z": (mean.value - energy.value) / math.hypot(mean.stderr, energy.stderr),
        "reference_converged": found.converged,
    }
    if distances:
        worst = max(distances, key=lambda name: distances[name].value)
        row |= {
            "worst_torsion": worst,
            "worst_torsion_tv": distances[worst].value,
            "worst_torsion_tv_null": distances[worst].null,
        }
    return row


if __name__ == "__main__":
    main()
