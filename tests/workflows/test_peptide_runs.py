"""Every residue that sequences know, capped, and random peptides: prepared and sampled without training.

The slow tests run the recipe whole.
"""

import math
import random

import numpy as np
import pytest
import torch

from boltzgen.errors import InputError
from boltzgen.molecules.peptides import FIRST_ONLY, LAST_ONLY, RESIDUES
from boltzgen.molecules.symmetry import MolecularGraph
from boltzgen.progress import Stopwatch
from boltzgen.sampling.frames import FramesConfig
from boltzgen.sampling.importance import log_importance_weights
from boltzgen.systems import load_system
from boltzgen.training.config import TrainingConfig
from boltzgen.training.families import untrained_model
from boltzgen.workflows import preparation
from boltzgen.workflows.config import SampleConfig
from boltzgen.workflows.preparation import prepare
from boltzgen.workflows.sample import run_sample

SMALLEST = FramesConfig(ladders=2, picoseconds=0.1, walkers=32, local_picoseconds=0.1)
SHORT = FramesConfig(ladders=16, picoseconds=1.0, walkers=64, local_picoseconds=1.0)
AMINO_ACIDS = sorted({*RESIDUES} - {*FIRST_ONLY, *LAST_ONLY})
CAPPED = [f"ACE-{name}-NME" for name in AMINO_ACIDS]
CAPPED_ONLY = {"ASH", "GLH", "LYN"}  # without parameters at the end of a chain
UNEQUAL = {"PHE", "TYR", "ASP", "GLU", "ASN", "GLN", "ARG"}  # that AMBER's impropers distinguish


def random_peptides(n: int) -> list[str]:
    """Tri- to pentapeptides, uncapped."""
    drawn = random.Random(0)
    ends = [name for name in AMINO_ACIDS if name not in CAPPED_ONLY]
    return [
        "-".join([drawn.choice(ends), *drawn.choices(AMINO_ACIDS, k=drawn.randint(1, 3)), drawn.choice(ends)])
        for _ in range(n)
    ]


@pytest.mark.parametrize("sequence", [*CAPPED, "PHE-ALA", "SER-PHE", *random_peptides(1)])
def test_untrained_samples_of_a_peptide_have_weights(sequence, monkeypatch):
    monkeypatch.setattr(preparation, "SEED_CONFORMERS", 4)
    config = SampleConfig(molecule=sequence, frames=SMALLEST, training=TrainingConfig(max_steps=1))
    generator = torch.Generator().manual_seed(0)
    problem = prepare(config, generator, Stopwatch())
    model = untrained_model(config.model, config.model_settings, problem)
    target, molecule = problem.target, problem.molecule
    with torch.no_grad():
        x, log_q = model.sample_with_log_prob(200, generator)
        log_weights = log_importance_weights(target.reduced_energy(x), log_q)
        assert torch.isfinite(log_weights).float().mean() > 0.99
        # The density of a frame is that of each of its images, and so is the energy.
        frames = problem.frames.thermal.positions
        images = model.coordinates.randomise_labels(frames, generator)
    assert bool(model.coordinates.contains(frames).all())
    change = target.reduced_energy(images.double()) - target.reduced_energy(frames.double())
    assert float(change.abs().max()) < 1e-3
    assert molecule.keeps_stereo(x.numpy()).all()
    names = sequence.split("-")
    charged_end = names[-1] not in LAST_ONLY
    assert bool(problem.symmetry.distinguished) == bool(UNEQUAL & {*names} or charged_end)
    rotors = math.prod(rule.images for rule in model.coordinates.labels.rules)
    assert model.coordinates.multiplicity == rotors


@pytest.mark.parametrize("sequence", ["GLH-ALA", "ALA-LYN"])
def test_a_residue_without_parameters_at_an_end_is_refused_with_what_to_do(sequence):
    with pytest.raises(InputError, match="cap the chain"):
        load_system(sequence)


def run(sequence, n_samples, steps):
    return run_sample(
        SampleConfig(
            molecule=sequence,
            n_samples=n_samples,
            frames=SHORT,
            training=TrainingConfig(max_steps=steps),
            refine="off",
        )
    )


def test_a_run_says_which_equivalent_atoms_differ_and_relabels_the_others_only():
    ensemble = run("ACE-ASP-NME", 200, 5)
    assert any("ASP2:OD1 ASP2:OD2" in warning for warning in ensemble.summary()["warnings"])
    relabelled = ensemble.relabelled()
    graph = MolecularGraph.from_rdmol(ensemble.molecule.rdmol)
    name = {a.GetPDBResidueInfo().GetName().strip(): a.GetIdx() for a in ensemble.molecule.rdmol.GetAtoms()}
    oxygens = [name["OD1"], name["OD2"]]
    assert graph.automorphism({oxygens[0]: oxygens[1]}) is not None
    assert np.array_equal(relabelled.positions[:, oxygens], ensemble.positions[:, oxygens])
    hydrogens = [name["HB2"], name["HB3"]]
    exchanged = (relabelled.positions[:, hydrogens] != ensemble.positions[:, hydrogens]).any((1, 2))
    assert 0.3 < exchanged.mean() < 0.7


@pytest.mark.slow
@pytest.mark.parametrize("sequence", [*CAPPED, *random_peptides(20)])
def test_peptides_run_whole(sequence):
    ensemble = run(sequence, 500, 30)
    assert np.isfinite(ensemble.free_energy)
    assert ensemble.effective_sample_size >= 1.0
    for x in ensemble.positions[:5]:
        assert ensemble.molecule.smiles_from_positions(x) == ensemble.molecule.smiles
