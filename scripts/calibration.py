#!/usr/bin/env python
"""Is `converged` right, and do 95 % intervals cover? Short runs judged by long references.

    python scripts/calibration.py verdict|coverage [--workers N] [--json FILE] [--references DIR] [--quick]

verdict: some 65 runs of `boltzgen sample`. "easy" molecules with time enough; "hard" ones with too little for
some; the same "starved"; and models with a mode "dropped" on purpose, which never sample one conformer and
have no density there. Each run's word (`converged`) is compared with its distance from long replica exchange:
total variation of the conformers' populations, population missed, ⟨U⟩ (bounds in
long_references.py). Wanted: wrong "converged" in at most 3 % of the runs that say so, good runs called
unconverged at most 15 %. Runs between good and bad, and those of too few effective samples to be of use,
count for neither.

coverage: 50 runs each of three small molecules and of a toy whose ln Z is a product of integrals. Wanted: the
95 % intervals of populations, ⟨U⟩ and F hold the truth in 88 to 100 % of the runs. The truth is exact for the
toy (F, and ⟨U⟩ by its derivative), otherwise the mean of the other runs; the mean of all is compared with the
reference, so that an error that all runs share is seen too.

--references: where references are kept between runs (default out/calibration). --json keeps what is done, so
that a run that was stopped goes on there; without a FILE as data/benchmarks/calibration_PART.json. --quick:
three molecules, two runs of each kind. Exit code 1 where a bound is not held.
"""

import json
import math
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np
from benchmarks.harness import ROOT, Benchmark, Column, Recorder, figure, option_parser, table
from jobs import Row, run_jobs

from boltzgen.report.comparison import Rows

EASY = {
    "butane": "CCCC",
    "propanol": "CCCO",
    "ethylene-glycol": "OCCO",
    "methyl-acetate": "COC(C)=O",
    "methylformamide": "CNC=O",
    "dimethoxymethane": "COCOC",
    "dichloroethane": "ClCCCl",
    "dimethyl-disulfide": "CSSC",
    "glycine": "NCC(=O)O",
    "pyrrolidine": "C1CCNC1",
}
HARD = {
    "alanine-dipeptide": "CC(=O)N[C@@H](C)C(=O)NC",
    "proline-dipeptide": "CC(=O)N1CCC[C@H]1C(=O)NC",
    "hexane": "CCCCCC",
    "triethylamine": "CCN(CC)CC",
    "aspirin": "CC(=O)Oc1ccccc1C(=O)O",
    "cyclohexanol": "OC1CCCCC1",
    "methylcyclohexane": "CC1CCCCC1",
    "cyclooctane": "C1CCCCCCC1",
    "glyme": "COCCOC",
    "glutaric-acid": "OC(=O)CCCC(=O)O",
    "salicylamide": "NC(=O)c1ccccc1O",
    "phenylephrine": "CNC[C@H](O)c1cccc(O)c1",
    "ibuprofen": "CC(C)Cc1ccc(cc1)[C@@H](C)C(=O)O",
}
TOY = "bonded-toy-rotor"
COVERED = {"butane": "CCCC", "propanol": "CCCO", "methylformamide": "CNC=O", TOY: TOY}
REPEATS = 50
BUDGETS = {"easy": 30.0, "hard": 60.0, "starved": 10.0, "dropped": 25.0, "coverage": 10.0}
REFERENCE_PICOSECONDS = {"easy": 100.0, "hard": 250.0}
MOST_SECONDS = 1500.0  # for a reference or a run
WRONG_CONVERGED, WRONG_UNCONVERGED = 0.03, 0.15
COVERAGE = (0.88, 1.0)
KINDS, TRUTHS = ("easy", "hard", "starved", "dropped"), ("good", "between", "useless", "bad")


def main() -> None:
    part = next((word for word in sys.argv[1:] if word in BENCHMARKS), "verdict")
    benchmark = BENCHMARKS[part]
    parser = option_parser(benchmark, __doc__, "three molecules, two runs of each kind")
    parser.add_argument("part", choices=tuple(BENCHMARKS))
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--references", type=Path, default=ROOT / "out" / "calibration")
    arguments = parser.parse_args()
    molecules = COVERED if part == "coverage" else EASY | HARD
    if arguments.quick:
        few = ("butane", "propanol", "alanine-dipeptide")
        molecules = {name: molecules[name] for name in few if name in molecules}
    make_references(molecules, arguments.references, arguments.workers)
    rows: dict[str, Row] = {}
    if arguments.json is not None and arguments.json.exists():
        rows = json.loads(arguments.json.read_text(encoding="utf-8"))["figures"]
    recorder = Recorder(benchmark, arguments.json, arguments.quick)

    def keep(name: str, row: Row) -> None:
        row.pop("printed", None)
        if "fault" in row:
            print(row["fault"], flush=True)
            row["fault"] = row["fault"].strip().splitlines()[-1]  # a traceback has the paths of this machine
        rows[name] = row
        print(f"{name:32s} {described(row)}", flush=True)
        recorder.keep(rows)

    cases = cases_of(part, molecules, arguments.references, arguments.quick)
    pending = [(name, case) for name, case in cases.items() if name not in rows]
    run_jobs(judged_run, pending, arguments.workers, MOST_SECONDS, keep)
    done = {name: rows[name] for name in cases}
    benchmark.show(done)
    sys.exit(0 if HELD[part](done) else 1)


def cases_of(part: str, molecules: dict[str, str], references: Path, quick: bool) -> dict[str, tuple]:
    """Arguments of ``judged_run`` by the name of the case, "kind molecule seed"."""

    def seeds(kind: str, names: list[str], n: int) -> dict[str, tuple]:
        return {
            f"{kind} {name} {seed}": (kind, molecules[name], seed, references / name)
            for seed in range(1, n + 1)
            for name in names
            if name in molecules
        }

    if part == "coverage":
        return seeds("coverage", list(molecules), 4 if quick else REPEATS)
    hard = list(molecules) if quick else list(HARD)
    return (
        seeds("easy", list(EASY), 2)
        | seeds("hard", hard, 1)
        | seeds("starved", hard, 1)
        | seeds("dropped", [*EASY, *HARD], 1)
    )


def make_references(molecules: dict[str, str], folder: Path, workers: int) -> None:
    """Those that are not in ``folder`` yet."""
    from long_references import make_reference

    folder.mkdir(parents=True, exist_ok=True)
    missing = {
        name: (spec, folder / name, REFERENCE_PICOSECONDS["hard" if name in HARD else "easy"])
        for name, spec in molecules.items()
        if not (folder / name / "summary.json").exists()
    }

    def told(name: str, row: Row) -> None:
        print(f"reference of {name}: {row.get('fault', row)}", flush=True)

    run_jobs(make_reference, missing.items(), workers, MOST_SECONDS, told)


def judged_run(kind: str, spec: str, seed: int, folder: Path) -> Row:
    """One run: its word, and its distance from the reference in ``folder`` or the estimates it makes."""
    from long_references import distance_from_reference, droppable, mode_dropped, quantities

    from boltzgen.ensemble import Ensemble
    from boltzgen.errors import NotConvergedError
    from boltzgen.workflows.config import SampleConfig
    from boltzgen.workflows.sample import run_sample

    reference = Ensemble.load(folder)
    settings = {
        "molecule": spec,
        "n_samples": 5000 if kind == "coverage" else 10_000,
        "seed": seed,
        "budget_seconds": BUDGETS[kind],
        "device": "cpu",
    }
    dropped = None
    with ExitStack() as stack:
        if kind == "dropped":
            chosen = droppable(reference)
            if chosen is None:
                return {"left_out": "no conformer of 5 to 60 %"}
            conformer, dropped = chosen
            settings |= {"refine": "off", "answer": "model"}
            stack.enter_context(mode_dropped(reference, conformer))
        try:
            run = run_sample(SampleConfig.model_validate(settings))
        except NotConvergedError as error:
            return {"converged": False, "truth": "useless", "warnings": [str(error)]}
    row = {
        "converged": run.metadata["converged"],
        "warnings": list(run.metadata["warnings"]),
        "effective_samples": run.effective_sample_size,
        "pareto_k": run.pareto_k,
    }
    if kind == "coverage":
        return row | {"quantities": quantities(run, reference)}
    return row | {"dropped": dropped, **distance_from_reference(run, reference)}


def described(row: Row) -> str:
    if "fault" in row or "left_out" in row:
        return row.get("fault", row.get("left_out"))
    word = "converged" if row["converged"] else "unconverged"
    if "quantities" in row or "distance" not in row:
        return f"{word}, {row.get('effective_samples', 0):.0f} effective"
    return (
        f"{word}, {row['truth']}: distance {row['distance']:.3f} (noise {row['noise']:.3f}), missed"
        f" {row['missed']:.3f}, ⟨U⟩ {row['energy_apart_kT']:.2f} kT apart, {row['effective_samples']:.0f}"
        f" effective, Pareto-k {row['pareto_k']:.2f}"
    )


def verdict_tables(rows: Mapping[str, Row]) -> list[Rows]:
    """Word against truth by kind of run, the two bounds, and every run on the wrong side of one."""
    judged = {name: row for name, row in rows.items() if "truth" in row}
    counts = Counter((name.split()[0], row["converged"], row["truth"]) for name, row in judged.items())
    kinds = [
        {"kind": kind, "word": word, "counts": {t: counts[kind, word == "converged", t] for t in TRUTHS}}
        for kind in KINDS
        for word in ("converged", "unconverged")
    ]
    columns = [Column("runs", figure("kind")), Column("the run says", figure("word"))]
    columns += [Column(truth, lambda row, truth=truth: str(row["counts"][truth])) for truth in TRUTHS]
    wrong, said, refused, good = judgements(rows)
    bounds = [
        {
            "what": "wrong among those that say converged",
            "n": len(wrong),
            "of": said,
            "most": WRONG_CONVERGED,
        },
        {"what": "unconverged among the good", "n": len(refused), "of": good, "most": WRONG_UNCONVERGED},
    ]
    bound_columns = [
        Column(f"{len(judged)} runs; {len(rows) - len(judged)} failed or left out", figure("what")),
        Column("runs", lambda row: f"{row['n']} of {row['of']}"),
        Column("at most", figure("most", ".0%")),
    ]
    cases = [
        {"name": name, "what": f"{described(row)}; {'; '.join(row['warnings'])}"}
        for name, row in (wrong | refused).items()
    ]
    return [
        table("Word against truth by long references", kinds, columns),
        table("Bounds", bounds, bound_columns),
        table("On the wrong side", cases, [Column("run", figure("name")), Column("what", figure("what"))]),
    ]


def judgements(rows: Mapping[str, Row]) -> tuple[dict[str, Row], int, dict[str, Row], int]:
    """Runs that are wrong and say converged, of how many that say so; good ones that do not, of how many."""
    judged = {name: row for name, row in rows.items() if "truth" in row}
    said = sum(row["converged"] for row in judged.values())
    good = sum(row["truth"] == "good" for row in judged.values())
    wrong = {name: row for name, row in judged.items() if row["converged"] and row["truth"] == "bad"}
    refused = {name: row for name, row in judged.items() if not row["converged"] and row["truth"] == "good"}
    return wrong, said, refused, good


def verdict_held(rows: Mapping[str, Row]) -> bool:
    """Whether both bounds of the verdict are held."""
    wrong, said, refused, good = judgements(rows)
    return len(wrong) <= WRONG_CONVERGED * said and len(refused) <= WRONG_UNCONVERGED * good


class Covered(NamedTuple):
    """How often the 95 % interval of a quantity holds the truth in ``n`` converged runs.

    mean: of their estimates; z: its distance from the reference, or from the exact value, in joint errors.
    """

    molecule: str
    quantity: str
    share: float
    n: int
    mean: float
    z: float


def coverage(rows: Mapping[str, Row]) -> Iterator[Covered]:
    """Of every quantity of every molecule in ``rows``."""
    for molecule in dict.fromkeys(name.split()[1] for name in rows):
        mine = [row for name, row in rows.items() if name.split()[1] == molecule and row.get("converged")]
        for name in sorted({name for row in mine for name in row["quantities"]}):
            estimates = np.array([row["quantities"][name] for row in mine if name in row["quantities"]])
            values, errors, known = estimates[:, 0], estimates[:, 1], estimates[0, 2:]
            n, mean = len(values), float(values.mean())
            spread = float(values.std(ddof=1)) / math.sqrt(n) if n > 1 else math.inf
            if molecule == TOY and not name.startswith("population"):
                known = np.array([exact(name), 0.0])
                inside = np.abs(values - known[0]) <= 1.96 * errors
            else:
                others = (values.sum() - values) / max(n - 1, 1)
                inside = np.abs(values - others) <= 1.96 * np.hypot(errors, spread)
            z = (mean - known[0]) / math.hypot(spread, known[1]) if len(known) else math.nan
            yield Covered(molecule, name, float(inside.mean()), n, mean, z)


def coverage_tables(rows: Mapping[str, Row]) -> list[Rows]:
    """How often each 95 % interval of converged runs holds the truth."""
    columns = [
        Column("molecule", lambda row: row.molecule),
        Column("quantity", lambda row: row.quantity),
        Column("covered", lambda row: f"{row.share:.2f}"),
        Column("of runs", lambda row: str(row.n)),
        Column("mean", lambda row: f"{row.mean:.4f}"),
        Column("z from reference or exact", lambda row: "" if math.isnan(row.z) else f"{row.z:.1f}"),
    ]
    low, high = COVERAGE
    return [table(f"Share of 95 % intervals that hold ({low:.0%} to {high:.0%})", coverage(rows), columns)]


def coverage_held(rows: Mapping[str, Row]) -> bool:
    """Whether all intervals hold often enough."""
    return all(COVERAGE[0] <= found.share <= COVERAGE[1] for found in coverage(rows))


def exact(name: str) -> float:
    """F/kT or ⟨U⟩/kT of the toy at 300 K from its closed form: ⟨U⟩ = −∂ ln Z/∂β."""
    sys.path.insert(0, str(ROOT))
    from boltzgen.systems import load_system
    from tests.bonded_toy import log_z

    system = load_system(TOY).system
    if name == "F/kT":
        return -log_z(system, 300.0)
    step = 0.5  # K; d ln Z/d ln T = U/kT
    rise = log_z(system, 300.0 + step) - log_z(system, 300.0 - step)
    return rise / (math.log(300.0 + step) - math.log(300.0 - step))


BENCHMARKS = {
    "verdict": Benchmark(
        "calibration_verdict",
        "Is the verdict right?",
        "Short runs of `boltzgen sample` on easy and hard molecules, with time enough, starved, and with a"
        " mode dropped from the model on purpose, judged by long replica exchange. Useless: too few effective"
        " samples for a judgement.",
        "OMP_NUM_THREADS=1 python scripts/calibration.py verdict --json",
        verdict_tables,
    ),
    "coverage": Benchmark(
        "calibration_coverage",
        "Do the error bars hold?",
        "Fifty short runs each of three molecules and of a toy whose partition function is known: how often"
        " the 95 % intervals hold the truth, exact for the toy and otherwise the mean of the other runs.",
        "OMP_NUM_THREADS=1 python scripts/calibration.py coverage --json",
        coverage_tables,
    ),
}
HELD = {"verdict": verdict_held, "coverage": coverage_held}

if __name__ == "__main__":
    main()
