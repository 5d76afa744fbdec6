"""Conformational energies beside measured ones: butane, pentane, A-values of ten substituents.

    python scripts/benchmarks/conformers.py [--forcefields mmff94 gfn2] [--names NAME ...] [--budget 25]
        [--samples 60000] [--resume] [--seed 0] [--json [FILE]] [--quick]

Every run is in vacuum at 298.15 K, one flow a molecule. ΔH is the difference of the mean energies of two
conformers, each averaged over its vibrations; ΔG is −kT ln of the ratio of their populations. Conformers are
told by torsions: anti beyond 120°, gauche below; a substituent is axial where both torsions from it around
the ring are below 120°, equatorial where both are above (neither: a twist-boat, which counts for none).
Budgets are those of force fields; a run on a program like GFN2 takes four times as long.

Measured: butane, Herrebout et al., J. Phys. Chem. 99 (1995) 578; pentane, Balabin, J. Phys. Chem. A 113
(2009) 1012; A-values (mostly in solution), Eliel & Wilen, Stereochemistry of Organic Compounds (1994), 11.7.
"""

import argparse
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from harness import Benchmark, Column, Recorder, Row, figure, option_parser, table
from jaxtyping import Bool, Float
from rdkit import Chem

from boltzgen.ensemble import Ensemble
from boltzgen.forcefields.parametrise import is_program
from boltzgen.molecules.molecule import Molecule
from boltzgen.observables import torsion
from boltzgen.progress import Stopwatch
from boltzgen.report.comparison import Rows
from boltzgen.sampling.importance import Estimate
from boltzgen.units import KJ_PER_KCAL
from boltzgen.workflows.config import SampleConfig
from boltzgen.workflows.sample import run_sample

TEMPERATURE = 298.15
GAUCHE = 2.0 * math.pi / 3.0
RING = Chem.MolFromSmarts("[!#1]-!@[CX4;R]1CCCCC1")
PROGRAM_TIMES = 4.0  # the budget of a force field
FEW = 20  # samples of the rarer conformer, below which its error means nothing

States = tuple[Bool[np.ndarray, " samples"], Bool[np.ndarray, " samples"]]


@dataclass(frozen=True)
class Quantity:
    """A measured difference: "ΔH" or "ΔG" of two conformers of a molecule, in kcal/mol.

    states: tells the two conformers in positions. low, high: the range of measured values.
    """

    smiles: str
    kind: str
    low: float
    high: float
    states: Callable[[Molecule, Float[np.ndarray, "samples atoms 3"]], States]


def every(conditions: Bool[np.ndarray, "torsions samples"]) -> Bool[np.ndarray, " samples"]:
    """Whether all conditions hold."""
    return np.logical_and.reduce(conditions, axis=0)


def butane(molecule: Molecule, x: Float[np.ndarray, "samples atoms 3"]) -> States:
    """Anti and gauche."""
    turn = abs(np.stack([torsion(0, 1, 2, 3)(x)]))
    return every(turn >= GAUCHE), every(turn < GAUCHE)


def pentane(signs: tuple[int, int]) -> Callable[[Molecule, Float[np.ndarray, "samples atoms 3"]], States]:
    """Anti–anti, and one or two gauche torsions of equal ``signs``."""

    def states(molecule: Molecule, x: Float[np.ndarray, "samples atoms 3"]) -> States:
        turns = np.stack([torsion(0, 1, 2, 3)(x), torsion(1, 2, 3, 4)(x)])
        gauche = np.where(abs(turns) < GAUCHE, np.sign(turns), 0.0)
        number = abs(gauche).sum(0)
        wanted = number == sum(signs)
        if sum(signs) == 2:
            wanted &= gauche[0] == gauche[1]
        return number == 0, wanted

    return states


def ring(molecule: Molecule, x: Float[np.ndarray, "samples atoms 3"]) -> States:
    """Equatorial and axial."""
    substituent, c1, c2, c3, _, c5, c6 = molecule.rdmol.GetSubstructMatch(RING)
    turns = abs(np.stack([torsion(substituent, c1, *way)(x) for way in ((c2, c3), (c6, c5))]))
    return every(turns >= GAUCHE), every(turns < GAUCHE)


QUANTITIES = {
    "butane, gauche": Quantity("CCCC", "ΔH", 0.638, 0.682, butane),
    "pentane, tg": Quantity("CCCCC", "ΔH", 0.612, 0.624, pentane((1, 0))),
    "pentane, g+g+": Quantity("CCCCC", "ΔH", 0.920, 0.960, pentane((1, 1))),
    "cyclohexyl, methyl": Quantity("CC1CCCCC1", "ΔG", 1.7, 1.8, ring),
    "cyclohexyl, ethyl": Quantity("CCC1CCCCC1", "ΔG", 1.75, 1.9, ring),
    "cyclohexyl, isopropyl": Quantity("CC(C)C1CCCCC1", "ΔG", 2.1, 2.1, ring),
    "cyclohexyl, tert-butyl": Quantity("CC(C)(C)C1CCCCC1", "ΔG", 4.9, 5.4, ring),
    "cyclohexyl, hydroxy": Quantity("OC1CCCCC1", "ΔG", 0.9, 1.0, ring),
    "cyclohexyl, methoxy": Quantity("COC1CCCCC1", "ΔG", 0.6, 0.6, ring),
    "cyclohexyl, fluoro": Quantity("FC1CCCCC1", "ΔG", 0.2, 0.2, ring),
    "cyclohexyl, chloro": Quantity("ClC1CCCCC1", "ΔG", 0.5, 0.5, ring),
    "cyclohexyl, cyano": Quantity("N#CC1CCCCC1", "ΔG", 0.2, 0.2, ring),
    "cyclohexyl, phenyl": Quantity("c1ccccc1C1CCCCC1", "ΔG", 2.8, 2.8, ring),
}


def measured(row: Row) -> str:
    """One value or a range."""
    low, high = row["low"], row["high"]
    return f"{low:.2f}" if low == high else f"{low:.2f} to {high:.2f}"


def computed(row: Row) -> str:
    """Value and standard error, and in parentheses where too few samples stand behind it."""
    if row["value"] is None:
        return "none seen"
    text = f"{row['value']:+.2f} ± {row['stderr']:.2f}"
    return text if row["rarer_samples"] >= FEW else f"({text})"


def verdict(row: Row) -> str:
    """How far the value is from the measured range, in kcal/mol, beyond two standard errors of sampling."""
    if row["value"] is None or row["rarer_samples"] < FEW:
        return "too few samples"
    outside = max(row["low"] - row["value"], row["value"] - row["high"], 0.0)
    return f"{outside:.2f} off" if outside > 2.0 * row["stderr"] else "agrees"


COLUMNS = (
    Column("difference", figure("name")),
    Column("energy", figure("forcefield")),
    Column("", figure("kind")),
    Column("measured", measured),
    Column("computed", computed),
    Column("", verdict),
    Column("ESS share", figure("ess_fraction", ".2f")),
    Column("Pareto-k", figure("pareto_k", ".2f")),
    Column("seconds", figure("seconds", ".0f")),
)


def tables(figures: list[dict[str, Any]]) -> list[Rows]:
    """Every difference at every level."""
    return [
        table(
            "Kilocalories per mole", sorted(figures, key=lambda row: row["forcefield"], reverse=True), COLUMNS
        )
    ]


BENCHMARK = Benchmark(
    "conformers",
    "Conformational energies",
    "Energies of conformers beside measured ones (vacuum, 298.15 K; A-values were mostly measured in "
    "solution). ± is the standard error of sampling: what is off by more is the error of the energy, not of "
    "the sampler: MMFF94 makes the gauche forms of pentane too high and, in vacuum, puts fluorine, chlorine "
    "and cyanide in the axial place. In parentheses: few samples of the rarer conformer.",
    "OMP_NUM_THREADS=1 python scripts/benchmarks/conformers.py --forcefields mmff94 gfn2 --json",
    tables,
)


def main() -> None:
    arguments = parse_arguments()
    recorder = Recorder(BENCHMARK, arguments.json, arguments.quick)
    rows: list[dict[str, Any]] = []
    if arguments.resume and arguments.json is not None and arguments.json.exists():
        rows = json.loads(arguments.json.read_text(encoding="utf-8"))["figures"]
    done = {(row["name"], row["forcefield"]) for row in rows}
    for forcefield in arguments.forcefields:
        ensembles: dict[str, tuple[Ensemble, dict[str, Any]]] = {}
        for name, quantity in QUANTITIES.items():
            if (name, forcefield) in done or (arguments.names and name not in arguments.names):
                continue
            if quantity.smiles not in ensembles:
                ensembles = {quantity.smiles: sampled(quantity.smiles, forcefield, arguments)}
            ensemble, facts = ensembles[quantity.smiles]
            found = difference(ensemble, quantity)
            labels = {"name": name, "forcefield": forcefield, "kind": quantity.kind}
            rows.append({**labels, "low": quantity.low, "high": quantity.high, **found, **facts})
            print(rows[-1], flush=True)
            recorder.keep(rows)
    BENCHMARK.show(rows)


def parse_arguments() -> argparse.Namespace:
    parser = option_parser(BENCHMARK, __doc__, "a quarter of the budget and of the samples")
    parser.add_argument("--forcefields", nargs="+", default=["mmff94"])
    parser.add_argument("--names", nargs="+", default=[], help="only these differences")
    parser.add_argument("--budget", type=float, default=25.0, help="seconds for a molecule in a force field")
    parser.add_argument("--samples", type=int, default=60_000, help="a tenth of it on a program")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true", help="go on with what the record has")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.budget, arguments.samples = arguments.budget / 4, arguments.samples // 4
    return arguments


def sampled(smiles: str, forcefield: str, arguments: argparse.Namespace) -> tuple[Ensemble, dict[str, Any]]:
    """The ensemble of a molecule, and what to say of it."""
    program = is_program(forcefield)
    config = SampleConfig(
        molecule=smiles,
        n_samples=arguments.samples // (10 if program else 1),
        temperature=TEMPERATURE,
        forcefield=forcefield,
        budget_seconds=arguments.budget * (PROGRAM_TIMES if program else 1.0),
        refine="off",
        seed=arguments.seed,
    )
    ensemble = run_sample(config, watch=Stopwatch())
    return ensemble, {
        "seconds": ensemble.metadata["wall_seconds"]["total"],
        "ess_fraction": ensemble.effective_sample_size_fraction,
        "pareto_k": ensemble.pareto_k,
        "converged": ensemble.metadata["converged"],
        "level_steps": ensemble.metadata.get("level_steps"),
    }


def difference(ensemble: Ensemble, quantity: Quantity) -> dict[str, Any]:
    """Second state less first in kcal/mol, None where either is missing."""
    first, second = quantity.states(ensemble.molecule, ensemble.positions)
    rarer = int(min((state & (ensemble.weights > 0)).sum() for state in (first, second)))
    if not rarer:
        return {"value": None, "stderr": None, "rarer_samples": 0}
    found = (free_energy if quantity.kind == "ΔG" else energy)(ensemble, first, second)
    return {
        "value": found.value / KJ_PER_KCAL,
        "stderr": found.stderr / KJ_PER_KCAL,
        "rarer_samples": rarer,
    }


def free_energy(ensemble: Ensemble, first: np.ndarray, second: np.ndarray) -> Estimate:
    """−kT ln of the ratio of two populations, in kJ/mol, with the error of the ratio (delta method)."""
    w = ensemble.weights
    shares = [float(w[state].sum()) for state in (first, second)]
    influence = w * (second / shares[1] - first / shares[0])
    return Estimate(
        -ensemble.kT * math.log(shares[1] / shares[0]), ensemble.kT * float(np.sqrt((influence**2).sum()))
    )


def energy(ensemble: Ensemble, first: np.ndarray, second: np.ndarray) -> Estimate:
    """Difference of mean energies in kJ/mol, with its error (delta method)."""
    w, u = ensemble.weights, np.where(ensemble.weights > 0, ensemble.energies, 0.0)
    means, influence = [], np.zeros(len(w))
    for state, sign in ((first, -1.0), (second, 1.0)):
        share = w[state].sum()
        means.append(float((w * u)[state].sum() / share))
        influence += sign * w * state * (u - means[-1]) / share
    return Estimate(means[1] - means[0], float(np.sqrt((influence**2).sum())))


if __name__ == "__main__":
    main()
