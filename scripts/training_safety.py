#!/usr/bin/env python
"""Does training make a model worse than it was? Short runs of drug-like molecules, one after the other.

    python scripts/training_safety.py [--molecules FILE.smi] [--budget 60] [--batch-size N] [--workers N]
        [--json [FILE]] [--quick]

Each molecule is a run of ``boltzgen sample`` with a short budget on one core; all settings are the defaults,
but for --batch-size, with which a slow machine makes more, and noisier, steps in the same time. The
model is judged as training gets it and as training returns it: by the run's own held-out measure (reverse
KL of fresh samples plus the likelihood of frames, up to a constant), and by what that measure does not know,
the effective share of the weights and the median of u + log q of 2048 other samples. A molecule fails where
the held-out measure is worse at the end than at the start, where the samples hold what is no number, or
where the run ends in a fault. Divergences that training noticed and went back from are counted.

--molecules: SMILES and name per line; default data/robustness/drugs.smi. --json keeps what is done, so that
a run that was stopped goes on there; without a FILE as data/benchmarks/training_safety.json. --quick: two
molecules, 20 s each. Exit code 1 where a molecule fails.
"""

import json
import sys
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

from boltzgen.report.comparison import Rows

LIST = ROOT / "data" / "robustness" / "drugs.smi"
QUICK = ("captopril", "15-crown-5")
SAMPLES = 2048
SEED = 77  # of the samples that judge; those of the run's own measure have another
MOST_SECONDS = 300.0  # besides the budget, for a start on a busy machine

COLUMNS = (
    Column("molecule", figure("name")),
    Column("atoms", figure("n_atoms")),
    Column("steps", figure("steps")),
    Column("divergences", figure("divergences")),
    Column("bad steps", figure("bad_steps")),
    Column("held-out measure, start", lambda row: f"{row['start']['held_out']:.2f}"),
    Column("end (nats)", lambda row: f"{row['end']['held_out']:.2f}"),
    Column("ESS share, start", lambda row: f"{row['start']['ess_share']:.5f}"),
    Column("end", lambda row: f"{row['end']['ess_share']:.5f}"),
    Column("effective samples", figure("effective_samples", ".0f")),
    Column("converged", lambda row: "yes" if row["converged"] else "no"),
    Column("seconds", figure("seconds", ".0f")),
)
FAILED_COLUMNS = (Column("molecule", figure("name")), Column("what happened", figure("why")))


def tables(figures: list[Row]) -> list[Rows]:
    """The molecules that ran, by size, and those that failed."""
    ran = sorted((row for row in figures if "start" in row), key=lambda row: row["n_atoms"])
    failed = [row for row in figures if row["why"]]
    gain = sorted(row["start"]["held_out"] - row["end"]["held_out"] for row in ran)
    found = []
    if ran:
        title = (
            f"{len(figures)} molecules: {len(failed)} failed,"
            f" {sum(row['divergences'] > 0 for row in ran)} with a divergence that training went back from,"
            f" {sum(row['converged'] for row in ran)} converged; the held-out measure fell by"
            f" {gain[0]:.2f} to {gain[-1]:.2f} nats, median {gain[len(gain) // 2]:.2f}"
        )
        found.append(table(title, ran, COLUMNS))
    return [*found, table("Failed", failed, FAILED_COLUMNS)] if failed else found


BENCHMARK = Benchmark(
    "training_safety",
    "Training never ends worse than it began",
    "Drug-like molecules of 25 to 60 atoms (`data/robustness/drugs.smi`), each a run of `boltzgen sample`"
    " with a short budget on one core. The held-out measure, E_q[log q + u] of fresh samples plus E_f[−log q]"
    " of thermal frames, is that of the model before and after training; so are the effective shares of 2048"
    " samples.",
    "OMP_NUM_THREADS=1 python scripts/training_safety.py --json",
    tables,
)


def main() -> None:
    parser = option_parser(BENCHMARK, __doc__, "two molecules, 20 s each")
    add_molecules_option(parser)
    parser.add_argument("--budget", type=float, default=60.0, help="seconds for each molecule")
    parser.add_argument("--batch-size", type=int, help="of training, instead of the default")
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    listed = read_molecules(arguments.molecules or LIST)
    if arguments.quick:
        arguments.budget = 20.0
        if arguments.molecules is None:
            listed = {name: listed[name] for name in QUICK}
    recorder = Recorder(BENCHMARK, arguments.json, arguments.quick)
    rows = earlier_rows(arguments.json)

    def keep(name: str, row: Row) -> None:
        row.pop("printed", None)
        rows[name] = {"name": name, "smiles": listed[name], "why": "", **row}
        if "fault" in row:
            rows[name]["why"] = rows[name].pop("fault")
        print(f"{name:24s} {described(rows[name])}", flush=True)
        recorder.keep([rows[one] for one in listed if one in rows])

    training = {} if arguments.batch_size is None else {"batch_size": arguments.batch_size}
    settings = {"budget_seconds": arguments.budget, "device": "cpu", "training": training}
    jobs = [
        (name, ({"molecule": smiles, **settings},)) for name, smiles in listed.items() if name not in rows
    ]
    run_jobs(trained, jobs, arguments.workers, arguments.budget + MOST_SECONDS, keep)
    done = [rows[name] for name in listed]
    BENCHMARK.show(done)
    sys.exit(1 if any(row["why"] for row in done) else 0)


def earlier_rows(path: Path | None) -> dict[str, Row]:
    """Rows by name that an earlier run left in ``path``."""
    if path is None or not path.exists():
        return {}
    return {row["name"]: row for row in json.loads(path.read_text(encoding="utf-8"))["figures"]}


def described(row: Row) -> str:
    if "start" not in row:
        return str(row["why"])
    start, end = row["start"], row["end"]
    return (
        f"{row['n_atoms']} atoms, {row['steps']} steps, {row['divergences']} divergences: held-out measure"
        f" {start['held_out']:.2f} to {end['held_out']:.2f}, ESS share {start['ess_share']:.5f} to"
        f" {end['ess_share']:.5f}, converged {row['converged']}, {row['seconds']:.0f} s {row['why']}"
    )


def trained(settings: dict[str, Any]) -> Row:
    """A run with ``settings``, its model judged before and after training."""
    import numpy as np

    from boltzgen.errors import NotConvergedError
    from boltzgen.workflows import fitting
    from boltzgen.workflows.config import SampleConfig
    from boltzgen.workflows.sample import run_sample

    judged: list[dict[str, float]] = []
    results: list[Any] = []
    train = fitting.train

    def watched(model, stages, settings, report, checkpoints, reserve, measure, pay_off):  # type: ignore[no-untyped-def]
        judged.append(judgement(model, measure))
        results.append(train(model, stages, settings, report, checkpoints, reserve, measure, pay_off))
        judged.append(judgement(model, measure))
        return results[-1]

    fitting.train = watched  # type: ignore[assignment]
    config = SampleConfig.model_validate(settings)
    row: Row = {"converged": False, "effective_samples": 0.0, "why": ""}
    try:
        run = run_sample(config)
    except NotConvergedError as error:
        row["said"] = str(error)
    else:
        numbers = (run.positions, run.reduced_energies[np.isfinite(run.log_weights)])
        if np.isnan(run.log_weights).any() or not all(np.isfinite(values).all() for values in numbers):
            row["why"] = "samples that are no numbers"
        row |= {
            "converged": run.metadata["converged"],
            "effective_samples": run.effective_sample_size,
            "pareto_k": run.pareto_k,
            "warnings": run.metadata["warnings"],
        }
    start, end = judged
    if not end["held_out"] <= start["held_out"]:
        row["why"] = f"training made the model worse: {start['held_out']:.2f} to {end['held_out']:.2f} nats"
    return row | {
        "n_atoms": n_atoms(config.molecule),
        "steps": results[0].steps,
        "divergences": results[0].n_divergences,
        "bad_steps": results[0].n_bad_steps,
        "dropped": results[0].n_dropped,
        "start": start,
        "end": end,
    }


def n_atoms(smiles: str) -> int:
    from rdkit import Chem

    return Chem.AddHs(Chem.MolFromSmiles(smiles)).GetNumAtoms()


def judgement(model: Any, measure: Any) -> dict[str, float]:
    """How good ``model`` is: by the run's held-out ``measure``, and by samples that it has not seen."""
    import torch

    with torch.no_grad():
        x, log_q = model.sample_with_log_prob(SAMPLES, torch.Generator().manual_seed(SEED))
        excess = log_q.double() + measure.target.reduced_energy(x).double()
    excess = torch.nan_to_num(excess, nan=torch.inf)
    log_weights = torch.log_softmax(-excess, 0)
    return {
        "held_out": measure(),
        "ess_share": float(torch.exp(-torch.logsumexp(2.0 * log_weights, 0))) / SAMPLES,
        "median_log_q_plus_u": float(excess.median()),
    }


if __name__ == "__main__":
    main()
