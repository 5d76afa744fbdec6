#!/usr/bin/env python
"""How far the untrained generator is from the target, molecule by molecule, and positions a second.

    python scripts/benchmarks/coordinates.py [--quick] [--json [FILE]] [--molecules FILE.smi] [--threads N]

For each molecule: frames from short replica exchange (MMFF94, 300 K), coordinates fitted to them, samples of
the untrained generator (uniform torsions, base density of the stiff coordinates). It prints

1. the distance: median over samples of u + ln q, less −ln Z, in nats per degree of freedom. The median,
   because a few torsional clashes own the mean. −ln Z is the Bennett acceptance ratio of these samples and
   the frames (Bennett 1976): exact for frames in equilibrium, an estimate for frames of a quench;
2. the effective sample size of the untrained samples, the share with all ring bonds within 15 % of their mean
   in the frames, and the share with the stereo of the SMILES;
3. thousands of positions a second, forward, and forward and backward, in float32 at batch 4096.

--quick: tests/molecules.smi without the list of tests/coordinates, and fewer frames.
Molecules without MMFF94 parameters are listed and left out.
"""

import math
import time
from typing import Any

import numpy as np
import torch
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
from scipy.optimize import brentq
from scipy.special import expit

from boltzgen.coordinates.build import build_coordinates
from boltzgen.coordinates.internal import MolecularCoordinates
from boltzgen.energies.compiler import compile_system
from boltzgen.energies.target import BoltzmannTarget
from boltzgen.errors import InputError
from boltzgen.forcefields.mmff import mmff_system
from boltzgen.molecules.molecule import Molecule
from boltzgen.report.comparison import Rows
from boltzgen.sampling.frames import FramesConfig, thermal_frames

TESTS = ROOT / "tests"
LISTS = (TESTS / "molecules.smi", TESTS / "coordinates" / "molecules_coordinates.smi")
TEMPERATURE = 300.0
SAMPLES = 4000
CLOSED = 0.15  # relative deviation of a ring bond

COLUMNS = (
    Column("molecule", figure("name")),
    Column("atoms", figure("n_atoms")),
    Column("torsions", figure("n_torsions")),
    Column("stiff coordinates", figure("n_stiff")),
    Column("nats per degree of freedom", figure("nats_per_dof", ".3f")),
    Column("ESS %", figure("ess_fraction", ".1f", 100)),
    Column("rings closed", figure("closed_share", ".4f")),
    Column("stereo right", figure("stereo_share", ".4f")),
    Column("thousands a second, forward", figure("forward_per_s", ".0f", 1e-3)),
    Column("forward and backward", figure("both_per_s", ".0f", 1e-3)),
)
SUMMARY_COLUMNS = (
    Column("molecules", figure("n_molecules")),
    Column("left out, without MMFF94 parameters", figure("n_refused")),
    Column("nats per degree of freedom, median", figure("nats_per_dof_median", ".3f")),
    Column("worst", figure("nats_per_dof_max", ".2f")),
    Column("share with 99 % of rings closed", figure("share_with_99_percent_closed", ".2f")),
    Column("least share with the right stereo", figure("stereo_share_min", ".4f")),
    Column("threads", figure("threads")),
)


def tables(figures: dict[str, Any]) -> list[Rows]:
    return [
        table("All molecules", [figures["summary"]], SUMMARY_COLUMNS),
        table("Molecule by molecule", figures["rows"], COLUMNS),
    ]


BENCHMARK = Benchmark(
    "coordinates",
    "Untrained coordinates",
    "How far the untrained generator (uniform torsions, thermal stiff coordinates) is from the Boltzmann "
    "density, and positions a second in float32 at batch 4096.",
    "python scripts/benchmarks/coordinates.py --quick --threads 1 --json",
    tables,
)


def main() -> None:
    parser = option_parser(BENCHMARK, __doc__, "tests/molecules.smi alone, and fewer frames")
    add_molecules_option(parser)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    paths = [arguments.molecules] if arguments.molecules else LISTS[: 1 if arguments.quick else 2]
    listed = [item for path in paths for item in read_molecules(path).items()]
    recorder = Recorder(BENCHMARK, arguments.json, arguments.quick)
    rows: list[dict[str, Any]] = []
    refused: list[dict[str, Any]] = []
    for name, smiles in listed:
        print(f"{name}: {smiles}", flush=True)
        try:
            row = measure(Molecule.stereoisomers(smiles)[0], 8.0 if arguments.quick else 15.0)
        except InputError as error:
            refused.append({"name": name, "reason": str(error)})
            continue
        rows.append({"name": name, "smiles": smiles, **row})
    figures = {"summary": summary(rows, len(refused), arguments.threads), "rows": rows, "refused": refused}
    recorder.keep(figures)
    BENCHMARK.show(figures)
    for item in refused:
        print(f"left out: {item['name']}: {item['reason']}")


def summary(rows: list[dict[str, Any]], n_refused: int, threads: int) -> dict[str, Any]:
    """Figures of all molecules together."""
    distances = np.array([row["nats_per_dof"] for row in rows])
    closed = np.array([row["closed_share"] for row in rows])
    return {
        "n_molecules": len(rows),
        "n_refused": n_refused,
        "nats_per_dof_median": float(np.median(distances)),
        "nats_per_dof_max": float(distances.max()),
        "share_within_2_nats": float((distances <= 2).mean()),
        "share_with_99_percent_closed": float((closed >= 0.99).mean()),
        "stereo_share_min": min(row["stereo_share"] for row in rows),
        "threads": threads,
    }


def measure(molecule: Molecule, picoseconds: float) -> dict[str, Any]:
    """The row of one molecule."""
    target = BoltzmannTarget(compile_system(mmff_system(molecule)), TEMPERATURE)
    starts = torch.as_tensor(molecule.seed_conformers(48)).float()
    config = FramesConfig(picoseconds=picoseconds)
    generator = torch.Generator().manual_seed(0)
    masses = torch.as_tensor(molecule.masses).float()
    frames = thermal_frames(target, masses, starts, config, generator).positions.double()
    energies = target.reduced_energy(frames).double()
    coords = build_coordinates(molecule, frames, energies, dtype=torch.float64)

    with torch.no_grad():
        stiff = coords.base.sample(SAMPLES, generator)
        torsions = uniform_torsions(coords, SAMPLES, generator)
        x, log_det = coords.to_positions(torsions, stiff)
        work = (target.reduced_energy(x).double() + log_q(coords, stiff, log_det)).numpy()
        _, frame_stiff, frame_log_det = coords.from_positions(frames)
        frame_work = (energies + log_q(coords, frame_stiff, frame_log_det)).numpy()
    free_energy = bennett(work, frame_work[np.isfinite(frame_work)])
    weights = np.exp(work.min() - work)
    forward, both = positions_per_second(coords.float())
    return {
        "n_atoms": molecule.n_atoms,
        "n_torsions": coords.n_torsions,
        "n_stiff": coords.n_stiff,
        "nats_per_dof": float(np.median(work) - free_energy) / (coords.n_torsions + coords.n_stiff),
        "minus_log_z": free_energy,
        "ess_fraction": float(weights.sum() ** 2 / (weights**2).sum() / SAMPLES),
        "closed_share": closed_share(molecule, x, frames),
        "stereo_share": float(molecule.keeps_stereo(x.numpy()).mean()),
        "forward_per_s": forward,
        "both_per_s": both,
    }


def uniform_torsions(coords: MolecularCoordinates, n: int, generator: torch.Generator) -> torch.Tensor:
    return (2 * torch.rand(n, coords.n_torsions, generator=generator, dtype=torch.float64) - 1) * math.pi


def log_q(coords: MolecularCoordinates, stiff: torch.Tensor, log_det: torch.Tensor) -> torch.Tensor:
    """Log density of the untrained generator, in the domain."""
    return coords.base.log_prob(stiff) - coords.n_torsions * math.log(2 * math.pi) - log_det


def bennett(work: np.ndarray, frame_work: np.ndarray) -> float:
    """−ln Z from u + ln q of samples of q and of frames of the target (Bennett 1976)."""
    shift = math.log(len(work) / len(frame_work))

    def imbalance(free_energy: float) -> float:
        forward = expit(-(shift + work - free_energy)).sum()
        return forward - expit(shift + frame_work - free_energy).sum()

    centre = float(np.median(frame_work))
    return brentq(imbalance, centre - 1e4, centre + 1e4)


def closed_share(molecule: Molecule, x: torch.Tensor, frames: torch.Tensor) -> float:
    bonds = [(b.GetBeginAtomIdx(), b.GetEndAtomIdx()) for b in molecule.rdmol.GetBonds() if b.IsInRing()]
    if not bonds:
        return 1.0
    i, j = torch.tensor(bonds).T
    usual = (frames[:, i] - frames[:, j]).norm(dim=-1).mean(0)
    stretch = (x[:, i] - x[:, j]).norm(dim=-1) / usual - 1
    return float((stretch.abs() < CLOSED).all(1).double().mean())


def positions_per_second(
    coords: MolecularCoordinates, batch: int = 4096, seconds: float = 0.3
) -> tuple[float, ...]:
    """Rates of ``to_positions`` alone and with the gradient."""
    stiff = coords.base.sample(batch).requires_grad_()
    torsions = torch.zeros(batch, coords.n_torsions).uniform_(-3, 3).requires_grad_()
    pull = torch.randn(3, coords.n_atoms, batch).permute(2, 1, 0)

    def forward() -> None:
        with torch.no_grad():
            coords.to_positions(torsions, stiff)

    def both() -> None:
        x, log_det = coords.to_positions(torsions, stiff)
        ((x * pull).sum() + log_det.sum()).backward()

    rates = []
    for step in (forward, both):
        step()
        start, n = time.perf_counter(), 0
        while time.perf_counter() - start < seconds:
            step()
            n += 1
        rates.append(n * batch / (time.perf_counter() - start))
    return tuple(rates)


if __name__ == "__main__":
    main()
