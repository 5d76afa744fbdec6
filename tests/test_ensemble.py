"""Ensembles: what their weights say, what is written, and that it comes back."""

import dataclasses
import json
import math

import mdtraj
import numpy as np
import pytest
import torch
from rdkit import Chem

from boltzgen.ensemble import Ensemble
from boltzgen.ensemble_folder import require_free_folder
from boltzgen.errors import InputError
from boltzgen.molecules.molecule import Molecule
from boltzgen.units import thermal_energy

L_ALANINE = "C[C@H](N)C(=O)O"


def shaken_ensemble(smiles=L_ALANINE, n=400, seed=0, metadata=None):
    """Seed conformers with a little noise, with random energies and log densities."""
    molecule = Molecule.from_smiles(smiles)
    generator = torch.Generator().manual_seed(seed)
    seeds = torch.from_numpy(molecule.seed_conformers(3, seed=1))
    positions = seeds[torch.randint(len(seeds), (n,), generator=generator)]
    positions = positions + 0.002 * torch.randn(positions.shape, generator=generator, dtype=torch.float64)
    u, log_q = torch.randn(2, n, generator=generator, dtype=torch.float64)
    return Ensemble.from_samples(molecule, positions, 5.0 + u, log_q, 300.0, metadata)


def test_statistics_are_those_written_out():
    ensemble = shaken_ensemble()
    w = np.exp(-ensemble.reduced_energies - ensemble.log_prob)
    assert ensemble.effective_sample_size == pytest.approx(w.sum() ** 2 / (w**2).sum())
    assert ensemble.effective_sample_size_fraction == pytest.approx(ensemble.effective_sample_size / 400)
    assert ensemble.weights == pytest.approx(w / w.sum())
    kT = thermal_energy(300.0)
    assert ensemble.free_energy == pytest.approx(-kT * math.log(w.mean()))
    assert ensemble.free_energy_stderr == pytest.approx(kT * w.std(ddof=1) / math.sqrt(400) / w.mean())
    assert ensemble.mean_energy.value == pytest.approx((w * ensemble.energies).sum() / w.sum())


def test_torsions_are_named_by_their_atoms_and_equal_mdtrajs():
    ensemble = shaken_ensemble("CCCC", n=20)
    (name,) = ensemble.torsions()
    assert name == "C1–C2–C3–C4"
    theirs = mdtraj.compute_dihedrals(ensemble.to_mdtraj(weighted=True), [[0, 1, 2, 3]])[:, 0]
    difference = ensemble.torsions()[name] - theirs
    assert np.abs(np.sin(0.5 * difference)).max() < 1e-4


def test_resampling_adds_no_information():
    ensemble = shaken_ensemble()
    resampled = ensemble.resample(1000, torch.Generator().manual_seed(1))
    assert len(resampled) == 1000
    assert resampled.weights == pytest.approx(np.full(1000, 1e-3))
    assert resampled.effective_sample_size == ensemble.effective_sample_size
    assert resampled.free_energy == ensemble.free_energy
    assert resampled.mean_energy.stderr > 0.7 * ensemble.mean_energy.stderr
    deviation = abs(resampled.mean_energy.value - ensemble.mean_energy.value)
    assert deviation < 4 * ensemble.mean_energy.stderr


def test_save_and_load_give_back_what_was_there(tmp_path):
    ensemble = shaken_ensemble(metadata={"forcefield": "mmff94", "warnings": [], "converged": True})
    ensemble.save(tmp_path / "out")
    loaded = Ensemble.load(tmp_path / "out")
    for name in ("positions", "log_weights", "reduced_energies", "log_prob"):
        assert np.array_equal(getattr(loaded, name), getattr(ensemble, name))
        assert getattr(loaded, name).dtype == getattr(ensemble, name).dtype
    assert loaded.positions.dtype == np.float32
    assert loaded.density == ensemble.density == "exact"
    assert loaded.statistics == ensemble.statistics
    assert loaded.metadata == ensemble.metadata
    assert loaded.summary() == ensemble.summary()
    assert loaded.molecule.smiles == ensemble.molecule.smiles
    assert loaded.temperature == 300.0


def test_weights_are_the_truth_without_any_density(tmp_path):
    """Refined samples: weights that no model density gives, and estimates that follow from them alone."""
    plain = shaken_ensemble()
    refined = Ensemble.from_weighted(
        plain.molecule,
        torch.from_numpy(plain.positions),
        torch.from_numpy(plain.reduced_energies),
        torch.from_numpy(plain.log_weights),
        300.0,
        plain.statistics,
    )
    assert refined.log_prob is None
    refined.resample(40).save(tmp_path / "resampled")
    refined.save(tmp_path / "refined")
    loaded = Ensemble.load(tmp_path / "refined")
    assert (loaded.log_prob, loaded.density) == (None, "none")
    assert loaded.has_free_energy
    assert loaded.free_energy == plain.free_energy
    assert loaded.mean_energy == plain.mean_energy
    with pytest.raises(InputError, match="'exact' without log_prob"):
        dataclasses.replace(plain, log_prob=None)


@pytest.mark.parametrize(
    ("metadata", "log_prob", "density"),
    [({}, 1.0, "exact"), ({"density": "extended"}, 1.0, "extended"), ({"refinement": {}}, 1.0, "none"),
     ({"density": "none"}, math.nan, "none")],
)  # fmt: skip
def test_arrays_written_before_the_kind_of_density_was_stored_load(tmp_path, metadata, log_prob, density):
    ensemble = shaken_ensemble(n=30, metadata=metadata)
    ensemble.save(tmp_path)
    with np.load(tmp_path / "ensemble.npz") as stored:
        arrays = {name: stored[name] for name in stored.files if name != "density"}
    np.savez(tmp_path / "ensemble.npz", **(arrays | {"log_prob": np.full(30, log_prob)}))
    (tmp_path / "SHA256SUMS").unlink()  # older versions wrote none
    loaded = Ensemble.load(tmp_path)
    assert loaded.density == density
    assert (loaded.log_prob is None) == (density == "none")
    assert np.array_equal(loaded.log_weights, ensemble.log_weights)


def test_a_resampled_ensemble_keeps_its_statistics_through_a_folder(tmp_path):
    resampled = shaken_ensemble().resample(50)
    resampled.save(tmp_path)
    assert Ensemble.load(tmp_path).statistics == resampled.statistics


def test_files_are_read_by_other_programs(tmp_path):
    ensemble = shaken_ensemble(n=200)
    ensemble.save(tmp_path)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["effective_sample_size"] == ensemble.effective_sample_size
    trajectory = mdtraj.load(tmp_path / "trajectory.dcd", top=tmp_path / "topology.pdb")
    assert trajectory.n_frames == 200
    own = mdtraj.compute_distances(ensemble.resample().to_mdtraj(weighted=True), [[0, 5]])
    assert mdtraj.compute_distances(trajectory, [[0, 5]]) == pytest.approx(own, abs=2e-6)
    conformers = list(Chem.SDMolSupplier(str(tmp_path / "conformers.sdf"), removeHs=False))
    assert sum(float(mol.GetProp("weight")) for mol in conformers) == pytest.approx(1.0, abs=1e-4)
    for mol in conformers:
        Chem.AssignStereochemistryFrom3D(mol)
        assert Chem.MolToSmiles(Chem.RemoveHs(mol)) == ensemble.molecule.smiles


def test_mdtraj_frames_keep_handedness_and_the_ensemble_is_left_alone():
    ensemble = shaken_ensemble(n=50)
    before = ensemble.positions.copy()
    trajectory = ensemble.to_mdtraj()
    assert np.array_equal(before, ensemble.positions)
    assert ensemble.molecule.keeps_stereo(trajectory.xyz).all()


@pytest.mark.parametrize("smiles", ["[He]", "[H][H]", "O", "O=C=O"])
def test_small_molecules_are_written_too(tmp_path, smiles):
    molecule = Molecule.from_smiles(smiles)
    positions = torch.from_numpy(molecule.seed_conformers(1)).repeat(30, 1, 1)
    ensemble = Ensemble.from_samples(molecule, positions, torch.zeros(30), torch.zeros(30), 300.0)
    ensemble.save(tmp_path)
    assert np.array_equal(Ensemble.load(tmp_path).positions, ensemble.positions)


def test_clashes_stay_in_the_arrays_and_out_of_the_files(tmp_path):
    molecule = Molecule.from_smiles("CCO")
    positions = torch.from_numpy(molecule.seed_conformers(1)).repeat(60, 1, 1)
    u = torch.zeros(60)
    positions[::2], u[::2] = math.nan, math.inf
    ensemble = Ensemble.from_samples(molecule, positions, u, torch.zeros(60), 300.0)
    ensemble.save(tmp_path)
    assert np.isfinite(mdtraj.load(tmp_path / "trajectory.dcd", top=tmp_path / "topology.pdb").xyz).all()
    assert Ensemble.load(tmp_path).free_energy_kT == pytest.approx(math.log(2))


def test_frames_of_dynamics_have_means_but_no_free_energy(tmp_path):
    molecule = Molecule.from_smiles("CCO")
    positions = torch.from_numpy(molecule.seed_conformers(1)).repeat(100, 1, 1)
    u = torch.randn(100, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ensemble = Ensemble.from_frames(molecule, positions, u, 300.0, effective_sample_size=25.0)
    assert ensemble.mean_energy.stderr == pytest.approx(ensemble.energies.std(ddof=1) / 5.0)
    with pytest.raises(InputError, match="no free energy"):
        _ = ensemble.free_energy
    ensemble.save(tmp_path)
    assert json.loads((tmp_path / "summary.json").read_text())["pareto_k"] is None
    assert Ensemble.load(tmp_path).effective_sample_size == 25.0


def test_nothing_is_overwritten(tmp_path):
    ensemble = shaken_ensemble(n=30)
    ensemble.save(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(InputError, match="already holds a run"):
        ensemble.save(tmp_path)
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


def test_a_failed_write_leaves_no_half_file(tmp_path, monkeypatch):
    def full_disk(*args):
        raise OSError("No space left on device")

    monkeypatch.setattr("mdtraj.Trajectory.save_dcd", full_disk)
    with pytest.raises(OSError, match="No space"):
        shaken_ensemble(n=30).save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "conformers.sdf",
        "ensemble.npz",
        "molecule.json",
    ]
    with pytest.raises(InputError, match=r"summary\.json is missing"):
        Ensemble.load(tmp_path)


def test_folders_that_cannot_be_used_are_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be used"):
        require_free_folder(tmp_path / "file")
    (tmp_path / "config.toml").write_text("")
    with pytest.raises(InputError, match=r"config\.toml"):
        require_free_folder(tmp_path)
    with pytest.raises(InputError, match="no complete run"):
        Ensemble.load(tmp_path / "nowhere")


def test_arrays_that_do_not_fit_are_refused():
    molecule = Molecule.from_smiles("CCO")
    with pytest.raises(InputError, match="do not fit"):
        Ensemble.from_samples(molecule, torch.zeros(5, 4, 3), torch.zeros(5), torch.zeros(5), 300.0)
    with pytest.raises(InputError, match="temperature"):
        Ensemble.from_samples(molecule, torch.zeros(5, 9, 3), torch.zeros(5), torch.zeros(5), 0.0)
    with pytest.raises((InputError, TypeError), match="log_prob"):
        Ensemble.from_samples(molecule, torch.zeros(5, 9, 3), torch.zeros(5), torch.zeros(1), 300.0)


def test_relabelling_restores_the_symmetry_of_equivalent_atoms():
    """Hydrogens of butane's CH₂ keep their order in samples; relabelled, either is to the left as often."""
    ensemble = shaken_ensemble("CCCC", n=4000)
    again = ensemble.relabelled(seed=1)
    rdmol = ensemble.molecule.rdmol
    hydrogens = [n.GetIdx() for n in rdmol.GetAtomWithIdx(1).GetNeighbors() if n.GetSymbol() == "H"]

    def left(one):
        x = one.positions.astype(float)
        a, b, c, d = (x[:, k] - x[:, 1] for k in (0, 2, *hydrogens))
        return np.einsum("ni,ni->n", np.cross(a, b), c - d) > 0

    assert abs(left(again).mean() - 0.5) < 4 * 0.5 / np.sqrt(4000)
    bonds = np.array(ensemble.molecule.bonds)
    lengths = [
        np.sort(np.linalg.norm(x[:, bonds[:, 0]] - x[:, bonds[:, 1]], axis=-1), axis=1)
        for x in (ensemble.positions, again.positions)
    ]
    np.testing.assert_allclose(lengths[0], lengths[1], atol=1e-6)
    assert np.array_equal(again.log_weights, ensemble.log_weights)
    assert shaken_ensemble().molecule.keeps_stereo(shaken_ensemble().relabelled().positions).all()
