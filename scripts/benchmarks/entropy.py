"""Entropies of twenty gases beside measured ones, by the whole ensemble and by one conformer.

    python scripts/benchmarks/entropy.py [--names NAME ...] [--budget 20] [--samples 20000] [--resume]
        [--seed 0] [--json [FILE]] [--quick]

S° at 298.15 K and 1 bar by MMFF94. The ensemble: `boltzgen.free_energy(SMILES, ideal_gas=True)`, which counts
every conformer and every anharmonicity classically, and adds a harmonic quantum correction at the main
conformers. One conformer: rigid rotor and harmonic oscillators (quantum) at the lowest minimum, with the
symmetry number of its point group.

Measured: pentane, hexane, cyclohexane and methylcyclohexane, values of the Thermodynamics Research Center;
the others, CRC Handbook of Chemistry and Physics, standard thermodynamic properties of chemical substances.
"""

import argparse
import json
import math
from typing import Any

import numpy as np
import torch
from harness import Benchmark, Column, Recorder, Row, figure, option_parser, table

import boltzgen
from boltzgen.molecules.molecule import Molecule
from boltzgen.report.comparison import Rows
from boltzgen.thermodynamics.ideal_gas import (
    R,
    normal_frequencies,
    rotational_entropy,
    translational_entropy,
)
from boltzgen.units import BOLTZMANN_J_PER_K, PLANCK
from boltzgen.workflows.ideal_gas import is_linear, minimised

TEMPERATURE = 298.15
# SMILES, measured S° in J/mol/K, symmetry number of the rigid lowest conformer
GASES = {
    "methane": ("C", 186.3, 12),
    "ethane": ("CC", 229.2, 6),
    "propane": ("CCC", 270.3, 2),
    "butane": ("CCCC", 310.2, 2),
    "pentane": ("CCCCC", 347.82, 2),
    "hexane": ("CCCCCC", 388.82, 2),
    "cyclohexane": ("C1CCCCC1", 298.19, 6),
    "methylcyclohexane": ("CC1CCCCC1", 343.3, 1),
    "ethene": ("C=C", 219.3, 4),
    "propene": ("CC=C", 267.0, 1),
    "benzene": ("c1ccccc1", 269.2, 12),
    "toluene": ("Cc1ccccc1", 320.7, 1),
    "methanol": ("CO", 239.9, 1),
    "ethanol": ("CCO", 281.6, 1),
    "propan-1-ol": ("CCCO", 322.6, 1),
    "dimethyl ether": ("COC", 266.4, 2),
    "acetaldehyde": ("CC=O", 263.8, 1),
    "acetone": ("CC(C)=O", 295.3, 2),
    "acetic acid": ("CC(=O)O", 283.5, 1),
    "methylamine": ("CN", 242.9, 1),
}
STEPS = (("pentane", "hexane"), ("cyclohexane", "methylcyclohexane"), ("butane", "pentane"))


def off(key: str) -> Any:
    """The cell with the error of a figure."""
    return lambda row: f"{row[key] - row['measured']:+.1f}"


def with_error(row: Row) -> str:
    """Ensemble and standard error."""
    return f"{row['ensemble']:.1f} ± {row['stderr']:.1f}"


COLUMNS = (
    Column("gas", figure("name")),
    Column("measured", figure("measured", ".1f")),
    Column("ensemble", with_error),
    Column("off", off("ensemble")),
    Column("one conformer", figure("one_conformer", ".1f")),
    Column("off", off("one_conformer")),
    Column("main conformers", figure("n_conformers")),
    Column("symmetry number", figure("symmetry_number")),
    Column("quantum correction", figure("quantum", "+.1f")),
    Column("seconds", figure("seconds", ".0f")),
)
STEP_COLUMNS = (
    Column("step", figure("name")),
    Column("measured", figure("measured", "+.1f")),
    Column("ensemble", figure("ensemble", "+.1f")),
    Column("one conformer", figure("one_conformer", "+.1f")),
)


def tables(figures: list[dict[str, Any]]) -> list[Rows]:
    """Every gas, with the errors over all; then differences along homologues."""
    found = {row["name"]: row for row in figures}
    errors = {
        key: math.sqrt(float(np.mean([(row[key] - row["measured"]) ** 2 for row in figures])))
        for key in ("ensemble", "one_conformer")
    }
    title = (
        f"S° in J/mol/K; RMSE {errors['ensemble']:.1f} by the ensemble, {errors['one_conformer']:.1f} by one"
        " conformer"
    )
    steps = [
        {"name": f"{a} to {b}"}
        | {key: found[b][key] - found[a][key] for key in ("measured", "ensemble", "one_conformer")}
        for a, b in STEPS
        if a in found and b in found
    ]
    rows = [table(title, figures, COLUMNS)]
    return [*rows, table("Differences, J/mol/K", steps, STEP_COLUMNS)] if steps else rows


BENCHMARK = Benchmark(
    "entropy",
    "Entropies of gases",
    "S°(298.15 K) by MMFF94 beside measured values: of the whole ensemble, and of the lowest conformer alone "
    "as rigid rotor and harmonic oscillators. What the ensemble is off by beyond its standard error is the "
    "error of MMFF94's frequencies, which one conformer has as well.",
    "OMP_NUM_THREADS=1 python scripts/benchmarks/entropy.py --json",
    tables,
)


def main() -> None:
    arguments = parse_arguments()
    recorder = Recorder(BENCHMARK, arguments.json, arguments.quick)
    rows: list[dict[str, Any]] = []
    if arguments.resume and arguments.json is not None and arguments.json.exists():
        rows = json.loads(arguments.json.read_text(encoding="utf-8"))["figures"]
    done = {row["name"] for row in rows}
    for name in arguments.names or GASES:
        if name not in done:
            rows.append(benchmark(name, arguments))
            print(rows[-1], flush=True)
            recorder.keep(rows)
    BENCHMARK.show(rows)


def parse_arguments() -> argparse.Namespace:
    parser = option_parser(BENCHMARK, __doc__, "a quarter of the budget and of the samples")
    parser.add_argument("--names", nargs="+", default=[], choices=GASES, help="only these")
    parser.add_argument("--budget", type=float, default=20.0, help="seconds for a molecule")
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true", help="go on with what the record has")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.budget, arguments.samples = arguments.budget / 4, arguments.samples // 4
    return arguments


def benchmark(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """One gas."""
    smiles, measured, sigma = GASES[name]
    summary = boltzgen.free_energy(
        smiles,
        ideal_gas=True,
        temperature=TEMPERATURE,
        budget=arguments.budget,
        n=arguments.samples,
        seed=arguments.seed,
    )
    gas = summary.states[0].ideal_gas
    assert gas is not None
    return {
        "name": name,
        "measured": measured,
        "ensemble": gas.entropy_J_mol_K,
        "stderr": gas.entropy_stderr_J_mol_K,
        "quantum": gas.quantum_correction_J_mol_K,
        "n_conformers": gas.n_conformers,
        "symmetry_number": gas.symmetry_number,
        "one_conformer": one_conformer(Molecule.from_smiles(smiles), sigma),
        "converged": summary.converged,
        "seconds": sum(summary.wall_seconds.values()),
    }


def one_conformer(molecule: Molecule, sigma: int) -> float:
    """Rigid rotor and harmonic oscillators at the lowest minimum, J/mol/K."""
    system = boltzgen.load_system(molecule.smiles)
    target = boltzgen.BoltzmannTarget(boltzgen.compile_system(system.system), TEMPERATURE)
    minima = [minimised(target, x) for x in system.molecule.seed_conformers(20, seed=0)]
    x = min(minima, key=lambda x: float(target.reduced_energy(torch.from_numpy(x)[None])))
    masses = np.asarray(system.molecule.masses, dtype=np.float64)
    hessian = target.hessian(torch.from_numpy(x)[None])[0].numpy() * target.kT
    reduced = PLANCK * normal_frequencies(hessian, masses, is_linear(x)) / (BOLTZMANN_J_PER_K * TEMPERATURE)
    vibration = R * float(np.sum(reduced / np.expm1(reduced) - np.log(-np.expm1(-reduced))))
    rigid = translational_entropy(float(masses.sum()), TEMPERATURE) + rotational_entropy(
        masses, x, TEMPERATURE
    )
    return rigid + vibration - R * math.log(sigma)


if __name__ == "__main__":
    main()
