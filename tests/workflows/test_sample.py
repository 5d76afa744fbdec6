"""The whole recipe on small molecules: real energies, short training, files that load again."""

import json
from dataclasses import replace

import mdtraj
import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import rdForceFieldHelpers
from typer.testing import CliRunner

import boltzgen
from boltzgen.cli import app
from boltzgen.errors import EvaluationError
from boltzgen.progress import StageProgress
from boltzgen.sampling.frames import FramesConfig
from boltzgen.sampling.tempering import temperature_ladder
from boltzgen.training.config import TrainingConfig
from boltzgen.units import KJ_PER_KCAL
from boltzgen.workflows import sample as workflow
from boltzgen.workflows.config import SampleConfig
from boltzgen.workflows.sample import run_sample

SHORT = {
    "frames": FramesConfig(ladders=16, picoseconds=2.0, walkers=64, local_picoseconds=2.0),
    "model_settings": {
        "torsion_couplings": 2,
        "torsion_hidden": 16,
        "stiff_couplings": 2,
        "stiff_hidden": 32,
    },
    "training": TrainingConfig(objective="reverse-kl", max_steps=60, batch_size=256),
}


def short_run(molecule: str, n_samples: int = 2000, out=None, **changes):
    return run_sample(SampleConfig(molecule=molecule, n_samples=n_samples, **(SHORT | changes)), out)


@pytest.fixture(scope="module")
def ethanol(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "ethanol"
    return short_run("CCO", out=folder), folder


def test_energies_of_the_ensemble_are_rdkits(ethanol):
    ensemble, _ = ethanol
    rdmol = ensemble.to_rdkit(20)
    properties = rdForceFieldHelpers.MMFFGetMoleculeProperties(rdmol)
    for conformer in rdmol.GetConformers():
        field = rdForceFieldHelpers.MMFFGetMoleculeForceField(rdmol, properties, confId=conformer.GetId())
        energy = conformer.GetDoubleProp("energy_kJ_mol") / KJ_PER_KCAL
        assert energy == pytest.approx(field.CalcEnergy(), abs=2e-3)  # float32 positions and energies


def test_what_was_saved_is_what_loads(ethanol):
    ensemble, folder = ethanol
    loaded = boltzgen.Ensemble.load(folder)
    assert np.array_equal(loaded.positions, ensemble.positions)
    assert np.array_equal(loaded.log_weights, ensemble.log_weights)
    assert loaded.free_energy == ensemble.free_energy
    assert loaded.summary().keys() == ensemble.summary().keys()


def test_folder_opens_in_mdtraj_and_rdkit(ethanol):
    ensemble, folder = ethanol
    trajectory = mdtraj.load(folder / "trajectory.dcd", top=folder / "topology.pdb")
    assert trajectory.n_atoms == ensemble.molecule.n_atoms
    lengths = mdtraj.compute_distances(trajectory, [[0, 1]])
    assert 0.13 < lengths.mean() < 0.17
    conformers = list(Chem.SDMolSupplier(str(folder / "conformers.sdf"), removeHs=False))
    assert sum(float(mol.GetProp("weight")) for mol in conformers) == pytest.approx(1.0, abs=1e-3)


def test_summary_holds_what_is_promised(ethanol):
    ensemble, folder = ethanol
    summary = json.loads((folder / "summary.json").read_text())
    promised = (
        "molecule", "n_atoms", "temperature_K", "forcefield", "solvent", "n_samples", "effective_sample_size",
        "effective_sample_size_fraction", "pareto_k", "free_energy_kT", "free_energy_stderr_kT", "log_Z",
        "n_energy_evaluations", "wall_seconds", "device", "seed", "versions", "converged", "warnings",
        "main_conformers", "effective_samples_per_second", "replica_exchange_effective_samples_per_second",
    )  # fmt: skip
    assert set(promised) <= summary.keys()
    n_rungs = len(temperature_ladder(300.0, 900.0, ensemble.molecule.n_atoms))
    dynamics = 16 * n_rungs * (1000 + 20 * 4)  # 2 ps of 2 fs steps; 20 times four turns
    local = 64 * 1000
    training = 48 * 256  # 60 steps, a fifth of them on frames
    # Cold frames: for their conformers, for the verdict and for their rate; local ones: for the coordinates.
    guard = 3 * 1024  # at the start, after the warm-up and at the end
    looked_at = 3 * 16 * 16 + 64 * 20
    judged = 256  # frames' mean energy
    assert summary["n_energy_evaluations"] == pytest.approx(
        dynamics + local + training + guard + 2000 + looked_at + 2 * 256 + judged, rel=0.01
    )


def test_weights_correct_a_barely_trained_model(ethanol):
    """The mean energy agrees with a run of other seed within error bars although both models are poor."""
    ensemble, _ = ethanol
    other = short_run("CCO", seed=5)
    error = np.hypot(ensemble.mean_energy.stderr, other.mean_energy.stderr)
    assert abs(ensemble.mean_energy.value - other.mean_energy.value) < 5 * error
    error = np.hypot(ensemble.free_energy_stderr_kT, other.free_energy_stderr_kT)
    assert abs(ensemble.free_energy_kT - other.free_energy_kT) < 5 * error


def test_a_seed_repeats_a_run_of_fixed_steps(ethanol):
    ensemble, _ = ethanol
    assert np.array_equal(short_run("CCO").positions, ensemble.positions)


@pytest.mark.parametrize("smiles", ["O", "C", "O=C=O", "C#N", "[Na+]"])
def test_tiny_molecules_work(smiles):
    ensemble = short_run(smiles, n_samples=500)
    assert ensemble.effective_sample_size > 50
    assert np.isfinite(ensemble.free_energy)


def test_stages_are_reported_in_order():
    seen: list[StageProgress] = []
    from boltzgen.progress import Stopwatch

    config = SampleConfig(molecule="O", n_samples=100, **SHORT)
    run_sample(config, watch=Stopwatch(seen.append))
    stages = list(dict.fromkeys(progress.stage for progress in seen))
    assert stages == [
        "seed conformers", "energy", "dynamics", "coordinates", "local dynamics", "training", "sampling",
        "diagnostics",
    ]  # fmt: skip
    assert any("ESS" in progress.note for progress in seen)


def test_settings_that_cannot_be_are_named_as_bad_input():
    with pytest.raises(boltzgen.InputError, match="seed"):
        boltzgen.sample("O", seed=-1)


def test_a_single_atom_leaves_a_whole_folder(tmp_path):
    ensemble = short_run("[Na+]", n_samples=200, out=tmp_path / "ion")
    assert np.array_equal(boltzgen.Ensemble.load(tmp_path / "ion").positions, ensemble.positions)
    assert boltzgen.load_model(tmp_path / "ion" / "model.safetensors").coordinates.n_atoms == 1


def test_a_number_of_steps_on_the_command_line_repeats_to_the_bit(tmp_path):
    """Same seed, steps and processes: the same positions and weights, from Python too."""
    settings = ["--set", "frames.ladders=4", "--set", "frames.picoseconds=0.5", "--set", "frames.walkers=16"]
    settings += ["--set", "frames.local_picoseconds=1.0", "--set", "training.batch_size=32"]
    for name in ("one", "two"):
        arguments = ["sample", "CCO", "-n", "50", "--steps", "6", "--seed", "3", "-o", str(tmp_path / name)]
        assert CliRunner().invoke(app, [*arguments, *settings]).exit_code in (0, 3)
    python = boltzgen.sample(
        "CCO", 50, seed=3, max_steps=6, training={"batch_size": 32},
        frames={"ladders": 4, "picoseconds": 0.5, "walkers": 16, "local_picoseconds": 1.0},
    )  # fmt: skip
    one, two = (boltzgen.Ensemble.load(tmp_path / name) for name in ("one", "two"))
    assert one.metadata["n_training_steps"] == 6
    for again in (two, python):
        assert np.array_equal(one.positions, again.positions)
        assert np.array_equal(one.log_weights, again.log_weights)


def test_another_stereoisomer_is_no_result_of_a_run_without_files_either(monkeypatch):
    draw = workflow.draw

    def mirrored(*arguments):
        drawn = draw(*arguments)
        return replace(drawn, positions=drawn.positions * np.float32([1, 1, -1]))

    assert short_run("C[C@H](F)Cl", 500, refine="off").metadata["n_stereo_perceived"] > 0
    monkeypatch.setattr(workflow, "draw", mirrored)
    with pytest.raises(EvaluationError, match="500 of 500 conformers show another stereoisomer"):
        short_run("C[C@H](F)Cl", 500, refine="off")
