"""A reference from a folder: used where it fits, refused by name where it does not."""

import numpy as np
import pytest
import torch

from boltzgen.ensemble import Ensemble
from boltzgen.errors import InputError
from boltzgen.molecules.molecule import Molecule
from boltzgen.sampling.frames import FramesConfig
from boltzgen.systems import load_system
from boltzgen.training.config import TrainingConfig
from boltzgen.workflows.config import SampleConfig
from boltzgen.workflows.given_reference import load_reference, reference_positions, reference_warnings
from boltzgen.workflows.sample import run_sample

FACTS = {"forcefield": "mmff94", "solvent": "vacuum"}


def stored(folder, smiles="CO", temperature=300.0, **changes):
    molecule = Molecule.from_smiles(smiles)
    seeds = torch.as_tensor(molecule.seed_conformers(4, seed=1)).repeat(50, 1, 1)
    x = seeds + 0.002 * torch.randn(seeds.shape, generator=torch.Generator().manual_seed(0))
    facts = FACTS | changes
    ensemble = Ensemble.from_frames(molecule, x, torch.zeros(len(x)), temperature, 50.0, facts)
    ensemble.save(folder)
    return ensemble


def test_frames_that_fit_are_read_and_trained_on(tmp_path):
    ensemble = stored(tmp_path / "reference", converged=False)
    read = load_reference(tmp_path / "reference", load_system("CO"), 300.0)
    x = reference_positions(read, torch.Generator())
    assert np.array_equal(x.numpy(), ensemble.positions)
    config = SampleConfig(
        molecule="CO",
        n_samples=100,
        model="flow-likelihood",
        reference=tmp_path / "reference",
        frames=FramesConfig(ladders=8, picoseconds=1.0, walkers=64, local_picoseconds=2.0),
        training=TrainingConfig(max_steps=5, batch_size=32),
    )
    found = run_sample(config)
    assert found.metadata["trained_on"] == f"{len(ensemble)} frames of {tmp_path / 'reference'}"
    assert [w for w in found.metadata["warnings"] if f"({tmp_path / 'reference'}) did not converge" in w]


@pytest.mark.parametrize(
    ("facts", "n_warnings"), [({}, 0), ({"converged": True}, 0), ({"converged": False}, 1)]
)
def test_only_a_reference_known_not_to_have_converged_is_warned_of(tmp_path, facts, n_warnings):
    stored(tmp_path / "reference", **facts)
    read = load_reference(tmp_path / "reference", load_system("CO"), 300.0)
    assert len(reference_warnings(read, "here")) == n_warnings
    assert reference_warnings(None, "here") == []


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"smiles": "CS"}, "reference of 'CS', not of 'CO'"),
        ({"smiles": "OC"}, "another order"),
        ({"temperature": 350.0}, "at 350 K, not at 300 K"),
        ({"forcefield": "uff"}, "forcefield 'uff', not 'mmff94'"),
        ({"solvent": "obc2"}, "solvent 'obc2', not 'vacuum'"),
        ({"density": "none"}, "without a density"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(tmp_path, changes, named):
    stored(tmp_path / "reference", **changes)
    with pytest.raises(InputError, match=named):
        load_reference(tmp_path / "reference", load_system("CO"), 300.0)


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(InputError, match="no complete run"):
        load_reference(tmp_path, load_system("CO"), 300.0)


def test_weighted_samples_are_drawn_by_weight(tmp_path):
    molecule = Molecule.from_smiles("CO")
    x = torch.as_tensor(molecule.seed_conformers(1)).repeat(400, 1, 1) * torch.linspace(0.9, 1.1, 400).view(
        -1, 1, 1
    )
    u = torch.where(torch.arange(400) < 100, 0.0, 60.0)
    ensemble = Ensemble.from_samples(molecule, x, u, torch.zeros(400), 300.0, FACTS)
    drawn = reference_positions(ensemble, torch.Generator())
    kept = {float(row) for row in x[:100, 0, 0].float()}
    assert {float(row) for row in drawn[:, 0, 0]} <= kept
