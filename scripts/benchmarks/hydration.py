"""Hydration free energies in two implicit solvents, beside measured ones and GAFF in explicit water.

    python scripts/benchmarks/hydration.py FILE.csv [--budget 20] [--samples 20000] [--names NAME ...]
        [--twice NAME ...] [--resume] [--seed 0] [--json [FILE]] [--quick]

FILE.csv has the columns smiles, name, experimental_kcal_mol and explicit_solvent_kcal_mol (for instance
FreeSolv: Mobley & Guthrie, J. Comput.-Aided Mol. Des. 28 (2014) 711; Duarte Ramos Matos et al., J. Chem. Eng.
Data 62 (2017) 1559). ΔG = −kT ln(Z in the solvent / Z in vacuum) at 298.15 K, gas and solution at one molar
concentration. Each Z is the whole configurational integral of the flexible molecule: MMFF94 with its own
charges; the solvents are OBC2 and GBn2 with OpenMM's radii and its ACE surface term (see
boltzgen/forcefields/solvent.py), so that ΔG has a polar and a nonpolar part and nothing fitted to these data.

One flow is trained for each molecule, in OBC2. Its samples have the weights exp(−u)/q in vacuum, in OBC2 and
in GBn2, whose means are the three Z. The weights of one sample go together, and the standard error of their
ratio says so. --twice trains a second flow in vacuum for the named molecules, from another seed: the
difference of the two estimates is an error that does not rely on either's weights. "One conformer": the
difference of energies of the vacuum's best minimum, which is what one conformer alone would have given.
"""

import argparse
import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import Benchmark, Column, Recorder, figure, option_parser, table
from rdkit.Chem import rdMolDescriptors
from scipy.stats import kendalltau

from boltzgen.energies.compiler import compile_system
from boltzgen.energies.target import BoltzmannTarget
from boltzgen.ensemble import Ensemble
from boltzgen.molecules.molecule import Molecule
from boltzgen.progress import Stopwatch
from boltzgen.report.comparison import Rows
from boltzgen.sampling.importance import effective_sample_size, pareto_k
from boltzgen.systems import build_system
from boltzgen.units import KJ_PER_KCAL
from boltzgen.workflows.config import SampleConfig
from boltzgen.workflows.sample import run_sample

TEMPERATURE = 298.15
SOLVENTS = ("obc2", "gbn2")
NAMES = {"obc2": "OBC2", "gbn2": "GBn2"}
RESAMPLES = 2000
FLEXIBLE = 3  # rotors from which a molecule counts as flexible
LEAST_ERROR = 0.1  # kcal/mol, that the standard error of each molecule is to be below
EFFECTIVE = 2000

COLUMNS = (
    Column("molecule", figure("name")),
    Column("rotors", figure("n_rotors")),
    Column("measured", figure("experimental", "+.2f")),
    Column("GAFF, explicit water", figure("explicit", "+.2f")),
    *(
        column
        for solvent in SOLVENTS
        for column in (
            Column(NAMES[solvent], figure(solvent, "+.2f")),
            Column("± sampling", figure(f"{solvent}_stderr", ".3f")),
            Column("one conformer", figure(f"{solvent}_one_conformer", "+.2f")),
        )
    ),
    Column("eff. samples, vacuum", figure("vacuum_effective", ".0f")),
    Column("Pareto-k", figure("worst_pareto_k", ".2f")),
    Column("seconds", figure("seconds", ".0f")),
)
FAILED_COLUMNS = (Column("molecule", figure("name")), Column("reason", figure("error")))
TWICE_COLUMNS = (
    Column("molecule", figure("name")),
    Column("solvent", figure("solvent")),
    Column("trained in OBC2", figure("first", "+.3f")),
    Column("trained in vacuum", figure("second", "+.3f")),
    Column("z", figure("z", "+.1f")),
)
SUMMARY_COLUMNS = (
    Column("method", figure("method")),
    Column("molecules", figure("n")),
    Column("RMSE, kcal/mol", figure("rmse")),
    Column("MAE, kcal/mol", figure("mae")),
    Column("median |error|", figure("median")),
    Column("mean error", figure("bias")),
    Column("Kendall's τ", figure("tau")),
)


def summary_rows(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Errors of each method over all molecules, and over stiff and flexible ones."""
    kinds = (
        ("", rows),
        (f", fewer than {FLEXIBLE} rotors", [row for row in rows if row["n_rotors"] < FLEXIBLE]),
        (f", {FLEXIBLE} or more rotors", [row for row in rows if row["n_rotors"] >= FLEXIBLE]),
    )
    methods = [(f"MMFF94, {NAMES[s]}", s) for s in SOLVENTS]
    methods += [(f"MMFF94, {NAMES[s]}, one conformer", f"{s}_one_conformer") for s in SOLVENTS]
    methods += [("GAFF, explicit water", "explicit")]
    return [
        {"method": method + kind, "n": len(chosen), **errors(chosen, key)}
        for kind, chosen in kinds
        for method, key in methods
        if len(chosen) > 2
    ]


def errors(rows: list[dict[str, Any]], key: str) -> dict[str, str]:
    """Each figure with its 95 % interval by bootstrap over the molecules."""
    measured = np.array([row["experimental"] for row in rows])
    found = np.array([row[key] for row in rows])
    draws = np.random.default_rng(0).integers(0, len(rows), (RESAMPLES, len(rows)))
    figures = {
        "rmse": (lambda e, _: math.sqrt(np.mean(e**2)), ".2f"),
        "mae": (lambda e, _: float(np.mean(abs(e))), ".2f"),
        "median": (lambda e, _: float(np.median(abs(e))), ".2f"),
        "bias": (lambda e, _: float(np.mean(e)), "+.2f"),
        "tau": (lambda e, m: float(kendalltau(e + m, m).statistic), ".2f"),
    }
    cells = {}
    for name, (value, form) in figures.items():
        repeats = [value((found - measured)[draw], measured[draw]) for draw in draws]
        low, high = np.nanpercentile(repeats, [2.5, 97.5])
        best = value(found - measured, measured)
        cells[name] = f"{best:{form}} ({low:{form}} to {high:{form}})"
    return cells


def largest_error(row: dict[str, Any]) -> float:
    """The larger of the errors in the two solvents, kcal/mol."""
    return max(abs(row[solvent] - row["experimental"]) for solvent in SOLVENTS)


def tables(figures: list[dict[str, Any]]) -> list[Rows]:
    """Errors, then every molecule, then the two estimates of those done twice, and what failed."""
    rows = sorted((row for row in figures if "error" not in row), key=largest_error, reverse=True)
    if not rows:
        return [table("Failed", figures, FAILED_COLUMNS)]
    worst = max(row[f"{solvent}_stderr"] for row in rows for solvent in SOLVENTS)
    over = sum(row["obc2_stderr"] > LEAST_ERROR or row["gbn2_stderr"] > LEAST_ERROR for row in rows)
    title = (
        f"Largest errors first; the largest standard error of sampling is {worst:.3f} kcal/mol, {over} are"
        f" above {LEAST_ERROR} kcal/mol"
    )
    found = [table("Errors against measured values", summary_rows(rows), SUMMARY_COLUMNS)]
    found.append(table(title, rows, COLUMNS))
    twice = [
        {"name": row["name"], "solvent": NAMES[solvent], "first": row[solvent], "second": again[solvent],
         "z": (row[solvent] - again[solvent])
         / math.hypot(row[f"{solvent}_stderr"], again[f"{solvent}_stderr"])}
        for row in rows if (again := row.get("again")) is not None for solvent in SOLVENTS
    ]  # fmt: skip
    if twice:
        found.append(table("Two flows for one molecule", twice, TWICE_COLUMNS))
    failed = [row for row in figures if "error" in row]
    return [*found, table("Failed", failed, FAILED_COLUMNS)] if failed else found


BENCHMARK = Benchmark(
    "hydration",
    "Hydration free energies",
    "Free energy of hydration at 298.15 K of molecules of FreeSolv: MMFF94 in two implicit solvents, all "
    "conformers and all vibrations sampled, beside measured values and GAFF/AM1-BCC in explicit water. "
    "Intervals: 95 % by bootstrap over the molecules. Energies in kcal/mol. ± sampling is the standard error "
    "of this program; what is beyond it is the error of the model, which OpenMM's own energies of single "
    "conformers show as well: MMFF94's charges were not made for generalised Born radii, least of all in "
    "nitro, sulfonyl, thiophosphoryl and polyhalogen groups. A large z between two flows means that one of "
    "them lacks a conformer that the other's energy populates, as the acid with its hydrogen turned away.",
    "OMP_NUM_THREADS=1 python scripts/benchmarks/hydration.py FREESOLV.csv --json",
    tables,
)


def main() -> None:
    arguments = parse_arguments()
    recorder = Recorder(BENCHMARK, arguments.json, arguments.quick)
    rows: list[dict[str, Any]] = []
    if arguments.resume and arguments.json is not None and arguments.json.exists():
        rows = json.loads(arguments.json.read_text(encoding="utf-8"))["figures"]
    done = {row["name"] for row in rows}
    for given in read_rows(arguments.data):
        if given["name"] in done or (arguments.names and given["name"] not in arguments.names):
            continue
        rows.append(given | benchmark(given["smiles"], given["name"] in arguments.twice, arguments))
        print({key: value for key, value in rows[-1].items() if key != "again"}, flush=True)
        recorder.keep(rows)
    BENCHMARK.show(rows)


def parse_arguments() -> argparse.Namespace:
    parser = option_parser(BENCHMARK, __doc__, "a quarter of the budget and of the samples")
    parser.add_argument("data", type=Path, metavar="FILE.csv")
    parser.add_argument("--names", nargs="+", default=[], help="only these")
    parser.add_argument("--twice", nargs="+", default=[], metavar="NAME", help="train a second flow")
    parser.add_argument("--budget", type=float, default=20.0, help="seconds for a molecule")
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true", help="go on with what the record has")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.budget, arguments.samples = arguments.budget / 4, arguments.samples // 4
    return arguments


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Names, SMILES and energies in kcal/mol, smallest molecules first."""
    with path.open(encoding="utf-8", newline="") as stream:
        rows = [
            {
                "name": row["name"],
                "smiles": row["smiles"],
                "experimental": float(row["experimental_kcal_mol"]),
                "explicit": float(row["explicit_solvent_kcal_mol"]),
            }
            for row in csv.DictReader(stream)
        ]
    return sorted(rows, key=lambda row: len(str(row["smiles"])))


def benchmark(smiles: str, twice: bool, arguments: argparse.Namespace) -> dict[str, Any]:
    """One molecule; the reason where it failed."""
    try:
        molecule = Molecule.from_smiles(smiles)
        row = solvation(molecule, smiles, "obc2", arguments, arguments.seed)
        row |= one_conformer(molecule)
        if twice:
            row["again"] = solvation(molecule, smiles, "vacuum", arguments, arguments.seed + 1)
    except (ValueError, RuntimeError) as error:
        return {"error": str(error)}
    return row


def solvation(
    molecule: Molecule, smiles: str, trained_in: str, arguments: argparse.Namespace, seed: int
) -> dict[str, Any]:
    """ΔG of both solvents in kcal/mol from one flow."""
    config = SampleConfig(
        molecule=smiles,
        n_samples=arguments.samples,
        temperature=TEMPERATURE,
        solvent=trained_in,
        budget_seconds=arguments.budget,
        effective_samples=min(EFFECTIVE, arguments.samples // 10),
        refine="off",
        seed=seed,
    )
    ensemble = run_sample(config, watch=Stopwatch())
    log_weights = {solvent: log_weights_in(ensemble, solvent) for solvent in ("vacuum", *SOLVENTS)}
    row: dict[str, Any] = {
        "n_atoms": molecule.n_atoms,
        "n_rotors": rdMolDescriptors.CalcNumRotatableBonds(molecule.rdmol),
        "seconds": ensemble.metadata["wall_seconds"]["total"],
        "converged": ensemble.metadata["converged"],
        "missed_frame_share": ensemble.metadata["missed_frame_share"],
        "vacuum_effective": effective_sample_size(log_weights["vacuum"]),
        "worst_pareto_k": max(pareto_k(weights) for weights in log_weights.values()),
    }
    for solvent in SOLVENTS:
        value, error = log_ratio(log_weights[solvent], log_weights["vacuum"])
        row[solvent] = -value * ensemble.kT / KJ_PER_KCAL
        row[f"{solvent}_stderr"] = error * ensemble.kT / KJ_PER_KCAL
    return row


def log_weights_in(ensemble: Ensemble, solvent: str) -> torch.Tensor:
    """Log weights of the samples in another solvent: −u − log q; none where they had none."""
    system = build_system(ensemble.molecule, solvent=solvent)
    target = BoltzmannTarget(compile_system(system.system), ensemble.temperature)
    u = target.reduced_energy(torch.as_tensor(ensemble.positions).double())
    log_weights = -u - torch.as_tensor(ensemble.log_prob).double()
    inside = torch.isfinite(torch.as_tensor(ensemble.log_weights)) & torch.isfinite(log_weights)
    return torch.where(inside, log_weights, -math.inf)


def log_ratio(numerator: torch.Tensor, denominator: torch.Tensor) -> tuple[float, float]:
    """ln of the ratio of two mean weights of the same samples, with its standard error (delta method)."""
    sums = [weights.logsumexp(0) for weights in (numerator, denominator)]
    influence = (numerator - sums[0]).exp() - (denominator - sums[1]).exp()
    return float(sums[0] - sums[1]), float(influence.square().sum().sqrt())


def one_conformer(molecule: Molecule) -> dict[str, float]:
    """Energy in each solvent less that in vacuum, in kcal/mol, of the vacuum's lowest minimum found."""
    x = torch.as_tensor(molecule.seed_conformers(64, seed=0)).double().permute(2, 1, 0).contiguous()
    energies = {
        solvent: compile_system(build_system(molecule, solvent=solvent).system)(x)
        for solvent in ("vacuum", *SOLVENTS)
    }
    best = int(energies["vacuum"].argmin())
    return {
        f"{solvent}_one_conformer": float(energies[solvent][best] - energies["vacuum"][best]) / KJ_PER_KCAL
        for solvent in SOLVENTS
    }


if __name__ == "__main__":
    main()
