"""Writes BENCHMARKS.md from the records in data/benchmarks/: no figure in it is typed by hand.

    python scripts/benchmarks/write_tables.py [--check]

--check writes nothing and ends with exit code 1 if BENCHMARKS.md is not what the records give. A benchmark
without a record of this version is listed with the command that would make one.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import compare
import conformers
import coordinates
import energies
import entropy
import free_energies
import gpu
import hydration
import molecules
import objectives
import peptides
import sample
import scaling
import time_to_answer
from harness import RECORDS, ROOT, Benchmark, markdown

import boltzgen

sys.path.append(str(ROOT / "scripts"))
import calibration
import robustness
import training_safety

PAGE = ROOT / "BENCHMARKS.md"
BENCHMARKS = tuple(
    module.BENCHMARK
    for module in (
        time_to_answer,
        sample,
        molecules,
        peptides,
        energies,
        gpu,
        coordinates,
        compare,
        objectives,
        conformers,
        free_energies,
        entropy,
        hydration,
        scaling,
        training_safety,
        robustness,
    )
) + tuple(calibration.BENCHMARKS.values())
INTRODUCTION = """# Benchmarks

Written by `python scripts/benchmarks/write_tables.py` from the records in `data/benchmarks/`. Every record
holds all figures of a run with its command, machine, versions and commit. To measure a benchmark again, run
its command on a quiet machine, then that script. Each script in `scripts/benchmarks/` says in its first lines
what it measures and takes `--quick`; those that work on molecules take a list of your own, `--molecules
FILE.smi`.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    text = page()
    if not arguments.check:
        PAGE.write_text(text, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
        raise SystemExit(f"{PAGE.name} is not up to date: run python scripts/benchmarks/write_tables.py")


def page(records: Path = RECORDS) -> str:
    """The text of BENCHMARKS.md that ``records``, a folder of NAME.json, give."""
    return "\n".join([INTRODUCTION, *(section(benchmark, records) for benchmark in BENCHMARKS)])


def section(benchmark: Benchmark, records: Path) -> str:
    """What was measured, where, and the tables; or that nothing was measured yet."""
    path = records / f"{benchmark.name}.json"
    parts = [f"## {benchmark.title}", benchmark.text]
    if not path.exists():
        parts.append(f"Not yet measured with version {boltzgen.__version__}. Command: `{benchmark.command}`")
    else:
        record = json.loads(path.read_text(encoding="utf-8"))
        parts.append(_origin(record))
        parts += [markdown(rows) for rows in benchmark.tables(record["figures"])]
    return "\n\n".join(parts) + "\n"


def _origin(record: dict[str, Any]) -> str:
    """The command of a record, when and where it ran, and with what."""
    machine, versions = record["machine"], record["versions"]
    gpu = f", {machine['gpu']}" if machine["gpu"] else ""
    load = "" if machine["load_average"] is None else f", load average {machine['load_average']} at the start"
    packages = ", ".join(f"{name} {version}" for name, version in versions.items())
    return (
        f"`{record['command']}`{' (a quick run)' if record['quick'] else ''}, {record['date']}, commit"
        f" {record['commit']}; {machine['processor']}, {machine['cores']} cores, {machine['threads']}"
        f" thread(s){gpu}{load}, {machine['system']}; {packages}."
    )


if __name__ == "__main__":
    main()
