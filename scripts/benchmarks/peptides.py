"""Alanine di-, tetra- and hexapeptide in implicit solvent, 300 K, no simulation data: the field's benchmark.

    python scripts/benchmarks/peptides.py [--systems NAME ...] [--budget 3600] [--device auto]
        [--samples 10000] [--model-samples 200000] [--reference-dir DIR] [--reference-picoseconds 1000]
        [--out DIR] [--seed 0] [--json [FILE]] [--quick]

For each system (see `boltzgen systems`): of the model's own samples the unclipped ESS share, the clipped
form of published figures (largest 1e-4 of the weights lowered; they have 1e7 samples), Pareto-k and the
Ramachandran total variation (100 × 100 bins, unweighted, each residue) from the reference, with its null
value, and from the same samples with their weights; of reference frames −E_p[log q] in nats and the forward
ESS 1/(E_p[w] E_p[1/w]); of the samples that `boltzgen sample` delivers the ESS share after refinement, and
the conformers of at least 1 % reached. The reference is read from DIR/NAME, a folder of `boltzgen reference
NAME`, and made where there is none. --out keeps the runs. Published: alanine dipeptide ESS 95.8-97.7 %
(−E_p[log q] in another measure, not comparable), TV 9.4e-3 to 1.4e-2, 1e8 to 2.6e8 evaluations (Midgley
2023; Schopmans 2025; von Klitzing 2025).
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import Benchmark, Column, Recorder, figure, option_parser, table
from reference_frames import forward

from boltzgen.conformers import find_states
from boltzgen.energies.compiler import compile_system
from boltzgen.energies.target import BoltzmannTarget
from boltzgen.ensemble import Ensemble
from boltzgen.evaluation.metrics import mode_coverage, ramachandran_total_variation
from boltzgen.models.flow import FlowModel
from boltzgen.molecules.torsions import ramachandran_torsions, torsion_values
from boltzgen.progress import Stopwatch
from boltzgen.report.comparison import Rows
from boltzgen.systems import MolecularSystem, load_system
from boltzgen.training.model_file import load_model
from boltzgen.workflows.config import SampleConfig
from boltzgen.workflows.given_reference import load_reference
from boltzgen.workflows.reference import ReferenceConfig, reference_ensemble
from boltzgen.workflows.sample import run_sample
from boltzgen.workflows.sampling import draw

SYSTEMS = ("alanine-dipeptide", "alanine-tetrapeptide", "alanine-hexapeptide")
TEMPERATURE = 300.0
EDGES = np.linspace(-np.pi, np.pi, 101)
REFERENCE_FRAMES = 20_000


COLUMNS = (
    Column("system", figure("system")),
    Column("device", figure("device")),
    Column("seconds", figure("wall_seconds", ".0f")),
    Column("evaluations", figure("n_energy_evaluations", ".2e")),
    Column("ESS share", figure("model_ess_fraction", ".4f")),
    Column("top 1e-4 of weights clipped", figure("model_ess_fraction_clipped", ".4f")),
    Column("Pareto-k", figure("model_pareto_k", ".2f")),
    Column("as delivered", figure("ess_fraction", ".3f")),
    Column("−E_p[log q]", figure("cross_entropy", ".2f")),
    Column("its standard error", figure("cross_entropy_stderr", ".2f")),
    Column("forward ESS", figure("forward_ess_fraction", ".3f")),
    Column("mean Ramachandran TV", figure("ramachandran_tv_mean", ".3f")),
    Column("worst", figure("ramachandran_tv_worst", ".3f")),
    Column("its null value", figure("ramachandran_tv_worst_null", ".3f")),
    Column("TV to own weights", lambda row: f"{max(row['ramachandran_tv_to_own_weights']):.3f}"),
    Column("conformers ≥ 1 %", lambda row: f"{row['n_conformers_reached']} of {row['n_conformers']}"),
)


def tables(figures: list[dict[str, Any]]) -> list[Rows]:
    """A row for each system."""
    return [table("", figures, COLUMNS)]


BENCHMARK = Benchmark(
    "peptides",
    "Peptides in implicit solvent",
    "The field's benchmark systems at 300 K, from the energy alone. Published figures, on GPUs: alanine "
    "dipeptide ESS 94 to 98 % with 1e8 to 2.6e8 evaluations, tetrapeptide 69 % with 1e8, hexapeptide 30 % "
    "with 4e8 (Midgley 2023; Schopmans 2025; von Klitzing 2025).",
    "python scripts/benchmarks/peptides.py --reference-dir data --json",
    tables,
)


def main() -> None:
    arguments = parse_arguments()
    recorder = Recorder(BENCHMARK, arguments.json, arguments.quick)
    rows: list[dict[str, Any]] = []
    for name in arguments.systems:
        print(name, flush=True)
        with tempfile.TemporaryDirectory() as scratch:
            rows.append({"system": name, **benchmark(name, arguments, Path(arguments.out or scratch) / name)})
        recorder.keep(rows)
    BENCHMARK.show(rows)


def parse_arguments() -> argparse.Namespace:
    parser = option_parser(BENCHMARK, __doc__, "the dipeptide alone, a minute, 20 ps")
    parser.add_argument("--systems", nargs="+", default=SYSTEMS, metavar="NAME")
    parser.add_argument("--budget", type=float, default=3600.0, help="wall seconds for each system")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--samples", type=int, default=10_000, help="that the run delivers")
    parser.add_argument("--model-samples", type=int, default=200_000, help="of the model, to measure it")
    parser.add_argument("--reference-dir", type=Path)
    parser.add_argument("--reference-picoseconds", type=float, default=1000.0)
    parser.add_argument("--out", type=Path, help="folder for the runs, which --resume of boltzgen knows")
    parser.add_argument("--seed", type=int, default=0)
    if parser.parse_args().quick:
        parser.set_defaults(
            systems=SYSTEMS[:1], budget=60.0, reference_picoseconds=20.0, model_samples=20_000
        )
    return parser.parse_args()


def benchmark(name: str, arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    config = SampleConfig(
        answer="model",
        molecule=name,
        n_samples=arguments.samples,
        temperature=TEMPERATURE,
        seed=arguments.seed,
        budget_seconds=arguments.budget,
        device=arguments.device,
    )
    ensemble = run_sample(config, folder, resume=True)
    summary = ensemble.summary()
    system = load_system(name)
    reference = reference_of(name, system, arguments)
    model = load_model(folder / "model.safetensors", summary["device"])
    assert isinstance(model, FlowModel)
    target = BoltzmannTarget(compile_system(system.system), TEMPERATURE)
    generator = torch.Generator(summary["device"]).manual_seed(arguments.seed + 1)
    own = draw(model, target, system.molecule, arguments.model_samples, generator, Stopwatch())
    frames = reference.positions
    states = find_states(system.molecule, frames, reference.weights)
    coverage = mode_coverage(states, ensemble.positions, ensemble.weights, frames)
    every = max(len(reference) // REFERENCE_FRAMES, 1)
    seen = forward(model, target, frames[::every], reference.effective_sample_size)
    return {
        "n_atoms": summary["n_atoms"],
        "device": summary["device"],
        "wall_seconds": summary["wall_seconds"]["total"],
        "n_training_steps": summary["n_training_steps"],
        "n_energy_evaluations": summary["n_energy_evaluations"],
        "n_parameters": summary["n_parameters"],
        "model_ess_fraction": own.effective_sample_size_fraction,
        "model_ess_fraction_clipped": own.statistics.clipped_effective_sample_size / len(own),
        "model_samples": len(own),
        "model_pareto_k": own.pareto_k,
        "log_Z": own.log_z.value,
        "log_Z_stderr": own.log_z.stderr,
        "ess_fraction": ensemble.effective_sample_size_fraction,
        "refinement": summary.get("refinement"),
        "converged": summary["converged"],
        "warnings": summary["warnings"],
        "n_conformers": coverage.n_conformers,
        "n_conformers_reached": coverage.n_reached,
        "missed_conformers": coverage.missed,
        **ramachandran(own, frames),
        "cross_entropy": seen.cross_entropy.value,
        "cross_entropy_stderr": seen.cross_entropy.stderr,
        "forward_ess_fraction": seen.ess_fraction,
        "reference_frames_outside_the_model": seen.n_outside,
        "reference_converged": reference.metadata["converged"],
        "reference_effective_samples": reference.effective_sample_size,
    }


def reference_of(name: str, system: MolecularSystem, arguments: argparse.Namespace) -> Ensemble:
    """From --reference-dir, or made, and kept there for the next time."""
    folder = None if arguments.reference_dir is None else arguments.reference_dir / name
    if folder is not None and folder.exists():
        return load_reference(folder, system, TEMPERATURE)
    config = ReferenceConfig(temperature=TEMPERATURE, picoseconds=arguments.reference_picoseconds)
    made = reference_ensemble(system, config).ensemble
    if folder is not None:
        made.save(folder)
    return made


def ramachandran(own: Ensemble, frames: np.ndarray) -> dict[str, Any]:
    """Total variation of every residue's (φ, ψ): mean and largest, with the largest's null value.

    10,000 bins are many for the frames of a reference, so that its null value is large. The same samples with
    their weights are the finer yardstick, exact for a model that reaches every conformer.
    """
    equal = np.ones(len(own))
    distances, to_own_weights = [], []
    for pair in ramachandran_torsions(own.molecule):
        ours, theirs = (torsion_values(positions, list(pair)) for positions in (own.positions, frames))
        distances.append(ramachandran_total_variation(ours, equal, theirs))
        histograms = [
            np.histogram2d(ours[:, 0], ours[:, 1], [EDGES, EDGES], weights=w)[0] for w in (equal, own.weights)
        ]
        plain, weighted = (histogram / histogram.sum() for histogram in histograms)
        to_own_weights.append(0.5 * float(np.abs(plain - weighted).sum()))
    worst = max(distances, key=lambda distance: distance.value)
    return {
        "ramachandran_tv": [distance.value for distance in distances],
        "ramachandran_tv_mean": float(np.mean([distance.value for distance in distances])),
        "ramachandran_tv_worst": worst.value,
        "ramachandran_tv_to_own_weights": to_own_weights,
        "ramachandran_tv_worst_null": worst.null,
    }


if __name__ == "__main__":
    main()
