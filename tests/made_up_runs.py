"""Ensembles with the metadata of a run, without a run."""

import torch

from boltzgen.conformers import torsion_bins
from boltzgen.ensemble import Ensemble
from boltzgen.molecules.molecule import Molecule
from boltzgen.molecules.torsions import conformer_torsions


def made_up_run(molecule: Molecule, converged: bool = False, n: int = 200, spread: float = 1.0) -> Ensemble:
    """Conformers of ``molecule`` with made-up energies and weights; a run of which two torsions are counted.

    spread: of the log weights.
    """
    generator = torch.Generator().manual_seed(0)
    seeds = torch.as_tensor(molecule.seed_conformers(4, seed=1))
    seeds = seeds.repeat(n // len(seeds) + 1, 1, 1)[:n]
    positions = seeds + 0.002 * torch.randn(seeds.shape, generator=generator)
    u = torch.linspace(0, 5, n)
    log_prob = -u + spread * torch.randn(n, generator=generator)
    return Ensemble.from_samples(
        molecule, positions.float(), u, log_prob, 300.0, metadata(molecule, converged)
    )


def metadata(molecule: Molecule, converged: bool) -> dict:
    """Facts of a run."""
    counts = [1] * (len(torsion_bins(6.0)) - 1)
    return {
        "forcefield": "mmff94",
        "solvent": "vacuum",
        "converged": converged,
        "warnings": [] if converged else ["only 3 <effective> samples"],
        "main_conformers": [
            {
                "states": "anti",
                "population": 1.0,
                "population_stderr": 0.1,
                "torsions_deg": [180.0],
                "representative_sample": 0,
            }
        ],
        "torsion_counts": [
            {"torsion": torsion.name, "period_deg": 360.0, "generated": counts, "replica_exchange": counts}
            for torsion in conformer_torsions(molecule)[:2]
        ],
        "seed": 0,
        "device": "cpu",
        "n_replaced_walkers": 0,
        "versions": {"boltzgen": "0.1.0"},
        "model": "flow",
        "density": "exact",
        "trained_on": "the energy",
        "model_figures": {},
        "n_parameters": 10,
        "n_training_steps": 2,
        "training_seconds": 2.0,
        "n_training_processes": 1,
        "n_dropped_samples": 0,
        "n_bad_training_steps": 0,
        "training_reached_plateau": False,
        "symmetry_multiplicity": 1,
        "model_effective_sample_size_fraction": 0.1,
        "missed_frame_share": 0.0,
        "n_energy_evaluations": 1234,
        "effective_samples_per_second": 12.34,
        "replica_exchange_effective_samples_per_second": None,  # as JSON has what is not a number
        "wall_seconds": {"training": 4.0, "total": 5.0},
        "training_history": {
            "seconds": [1, 2],
            "step": [1, 2],
            "ess_fraction": [0.1, 0.2],
            "reverse_kl": [2, 1],
        },
    }
