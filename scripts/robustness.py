#!/usr/bin/env python
"""Runs every molecule of a list through boltzgen and checks what is written with RDKit alone.

    python scripts/robustness.py [--molecules FILE.smi] [--workers N] [--most N] [--json [FILE]] [--quick]
        [--retry]

Each molecule goes through the whole of ``boltzgen sample`` (reading, seed conformers, energy, dynamics,
coordinates, samples, weights, verdict, files) in a process of its own with a time limit. The dynamics is tiny
and the model is not trained (one step), so that a molecule takes seconds: the samples are poor, but they have
to be whole. An outcome is one of

    sampled   200 samples with weights, and every check below holds
    refused   one sentence says why not (InputError), or that no sample has any weight (NotConvergedError)
    WRONG     something was sampled that does not pass a check
    FAULT     another exception, or a process that died
    TIME      not ready within the time limit

The checks share no code with boltzgen. In the written files: no NaN, as many samples as asked for, weights
that add up to one; conformers.sdf is read by RDKit, has the atoms and bonds of the SMILES as RDKit reads it
(isotopes and charges included), every bond has a length that bonds can have, the stereo that RDKit perceives
from the positions alone holds every label of the SMILES and is the same in every conformer, and so is the
handedness or side of every cumulene. Of the class "nonsense" everything must be refused.

The molecules are taken in a random order, the same each time, so that a run that was stopped is a sample of
the whole list. --molecules: a SMILES (or a peptide sequence) and a name per line; "class/name" groups the
table. Default: data/robustness/molecules.smi. --json keeps what is done, so that a run that was stopped goes
on there (--retry: those that were not sampled or refused are tried again); without a FILE as
data/benchmarks/robustness.json. --most N: no more than N molecules. --quick: a tenth of the list.
Exit code 1 where anything is WRONG, FAULT or TIME.
"""

import json
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.harness import (
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
from jobs import Row, run_jobs
from written_molecules import wrong_arrays, wrong_conformers

from boltzgen.report.comparison import Rows

LIST = ROOT / "data" / "robustness" / "molecules.smi"
SAMPLES = 200
SECONDS = 120.0  # for one molecule on one core
BUDGET = 20.0
ORDER = 2026  # seed of the order
REFUSED_CLASS = "nonsense"
GOOD = ("sampled", "refused")
OUTCOMES = (*GOOD, "WRONG", "FAULT", "TIME")
FAILED_COLUMNS = (
    Column("molecule", figure("name")),
    Column("SMILES", figure("smiles")),
    Column("outcome", figure("outcome")),
    Column("why", figure("why")),
)


def tables(figures: dict[str, Any]) -> list[Rows]:
    """Outcomes by class, and what went wrong."""
    rows = figures["rows"]
    classes: dict[str, Counter] = {}
    for row in sorted(rows, key=lambda row: row["name"]):
        group = row["name"].split("/")[0] if "/" in row["name"] else "listed"
        classes.setdefault(group, Counter())[row["outcome"]] += 1
    everything = Counter(row["outcome"] for row in rows)
    lines = [
        {"class": group, "all": counts.total(), **{name: str(counts[name]) for name in OUTCOMES}}
        for group, counts in [*classes.items(), ("all", everything)]
    ]
    seconds = sorted(row["seconds"] for row in rows)
    title = (
        f"{len(rows)} of the {figures['listed']} molecules of the list, taken at random: median"
        f" {seconds[len(seconds) // 2]:.1f} s, longest {seconds[-1]:.0f} s"
    )
    columns = [Column(name, figure(name)) for name in ("class", "all", *OUTCOMES)]
    bad = [row for row in rows if row["outcome"] not in GOOD]
    found = [table(title, lines, columns)]
    return [*found, table("Not as it should be", bad, FAILED_COLUMNS)] if bad else found


BENCHMARK = Benchmark(
    "robustness",
    "Robustness",
    "Varied molecules (`data/robustness/molecules.smi`: salts, cages, cumulenes, spiro compounds,"
    " macrocycles, sugars, peptides, every element of MMFF94, 1 to 150 atoms, nonsense), each through a whole"
    " run with a model that is hardly trained. What is written is read and compared with the SMILES by RDKit"
    " alone: atoms, bonds, stereo, weights. Refused: in one sentence that says why.",
    "OMP_NUM_THREADS=1 python scripts/robustness.py --json",
    tables,
)


def main() -> None:
    parser = option_parser(BENCHMARK, __doc__, "a tenth of the list")
    add_molecules_option(parser, "SMILES and class/name per line")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--most", type=int, help="molecules at most")
    parser.add_argument("--retry", action="store_true", help="try again what went wrong in an earlier run")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="time limit for a molecule")
    arguments = parser.parse_args()
    everything = list(read_molecules(arguments.molecules or LIST).items())
    random.Random(ORDER).shuffle(everything)
    most = len(everything) // 10 if arguments.quick else arguments.most
    listed = everything[:most]
    smiles_of = dict(listed)
    rows = earlier_rows(arguments.json, arguments.retry)
    pending = [(name, smiles) for name, smiles in listed if rows.get(name, {}).get("smiles") != smiles]
    recorder = Recorder(BENCHMARK, arguments.json, arguments.quick)

    def keep(name: str, row: Row) -> None:
        row.pop("printed", None)
        if fault := row.pop("fault", None):
            row |= {"outcome": "TIME" if fault.startswith("not ready") else "FAULT", "why": fault}
        row = {"name": name, "smiles": smiles_of[name], **row}
        rows[name] = row
        line = f"{row['outcome']:8s} {row['seconds']:6.1f} s  {name:40s} {row['smiles']}"
        print(line + (f"\n         {row['why']}" if row["why"] else ""), flush=True)
        recorder.keep(figures())

    def figures() -> dict[str, Any]:
        return {"listed": len(everything), "rows": [rows[name] for name, _ in listed if name in rows]}

    jobs = [(name, (name, smiles)) for name, smiles in pending]
    run_jobs(outcome, jobs, arguments.workers, arguments.seconds, keep)
    BENCHMARK.show(figures())
    show_refused(figures()["rows"])
    if any(row["outcome"] not in GOOD for row in figures()["rows"]):
        sys.exit(1)


def earlier_rows(path: Path | None, retry: bool) -> dict[str, Row]:
    """Rows by name that an earlier run left in ``path``."""
    if path is None or not path.exists():
        return {}
    rows = json.loads(path.read_text(encoding="utf-8"))["figures"]["rows"]
    return {row["name"]: row for row in rows if not retry or row["outcome"] in GOOD}


def outcome(name: str, smiles: str) -> dict:
    """What became of one molecule."""
    from boltzgen.errors import InputError, NotConvergedError

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        try:
            sample(smiles, out)
            row = {"outcome": "sampled", **checked(smiles, out)}
        except (InputError, NotConvergedError) as error:
            row = {"outcome": "refused", "why": str(error)}
            if "\n" in str(error).strip():
                row = {"outcome": "WRONG", "why": f"refused in more than one sentence: {error}"}
    if row["outcome"] == "sampled" and (row["why"] or is_nonsense(name)):
        row |= {"outcome": "WRONG", "why": row["why"] or "sampled, and should have been refused"}
    return row


def is_nonsense(name: str) -> bool:
    return name.split("/")[0] == REFUSED_CLASS


def sample(smiles: str, out: Path) -> None:
    """The whole recipe with tiny dynamics and a model that has seen one step."""
    from boltzgen.workflows.config import SampleConfig
    from boltzgen.workflows.sample import run_sample

    config = SampleConfig.model_validate(
        {
            "molecule": smiles,
            "n_samples": SAMPLES,
            "device": "cpu",
            "budget_seconds": BUDGET,
            "refine": "off",
            "frames": {
                "ladders": 2,
                "hot_factor": 1.5,
                "picoseconds": 1.0,
                "steps_per_frame": 10,
                "walkers": 32,
                "local_picoseconds": 1.0,
            },
            "training": {"max_steps": 1, "batch_size": 32},
        }
    )
    run_sample(config, out)


def checked(smiles: str, out: Path) -> dict:
    """Figures of the run in ``out``, and the first thing that is wrong with it in "why"."""
    summary = json.loads((out / "summary.json").read_text())
    figures = {
        "n_atoms": summary["n_atoms"],
        "effective_samples": summary["effective_sample_size"],
    }
    why = wrong_arrays(out / "ensemble.npz", SAMPLES) or wrong_conformers(smiles, out / "conformers.sdf")
    return figures | {"why": why}


def show_refused(rows: list[Row]) -> None:
    """Prints why molecules were refused that are no nonsense."""
    print("\nRefused, other than nonsense:")
    for row in rows:
        if row["outcome"] == "refused" and not is_nonsense(row["name"]):
            print(f"  {row['name']} {row['smiles']}: {row['why']}")


if __name__ == "__main__":
    main()
