"""Ensembles at another energy: closed forms, and a run reweighted from a file."""

import csv
import json
import math

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import boltzgen
from boltzgen.cli.application import app
from boltzgen.errors import InputError, NotConvergedError
from boltzgen.units import thermal_energy
from boltzgen.workflows.reweighting import reweighted_run

TEMPERATURE = 310.0
KT = thermal_energy(TEMPERATURE)


def bond_ensemble(n=20_000, resampled=False):
    """Bond lengths of a normal density with the weights of a narrower one; ln Z is known."""
    molecule = boltzgen.Molecule.from_smiles("[H]Cl")
    r = 0.13 + 0.004 * torch.randn(n, generator=torch.Generator().manual_seed(5)).double()
    x = torch.zeros(n, 2, 3)
    x[:, 1, 0] = r
    log_q = -0.5 * ((r - 0.13) / 0.004) ** 2 - math.log(0.004 * math.sqrt(2 * math.pi))
    ensemble = boltzgen.Ensemble.from_samples(molecule, x, harmonic(r, 0.13, 0.003), log_q, TEMPERATURE)
    return (ensemble.resample(n) if resampled else ensemble), r


def harmonic(r, mean, width):
    return 0.5 * ((r - mean) / width) ** 2


def lengths(positions):
    return np.linalg.norm(positions[:, 1] - positions[:, 0], axis=1)


@pytest.mark.parametrize("resampled", [False, True])
def test_weights_mean_and_free_energy_are_those_of_the_new_energy(resampled):
    ensemble, _ = bond_ensemble(resampled=resampled)
    r = torch.as_tensor(lengths(ensemble.positions)).double()
    other = ensemble.reweight(KT * (harmonic(r, 0.1305, 0.0033) + 7.0).numpy())
    found = other.mean(lengths)
    assert abs(found.value - 0.1305) < 4 * found.stderr
    expected = math.log(0.0033 * math.sqrt(2 * math.pi)) - 7.0
    assert abs(other.log_z.value - expected) < 4 * other.log_z.stderr
    assert other.log_z.stderr < 0.02
    assert other.effective_sample_size < 20_000 * 0.98
    assert other.pareto_k < 0.7


def test_the_energy_it_has_changes_nothing():
    ensemble, _ = bond_ensemble(2000)
    again = ensemble.reweight(ensemble.energies)
    np.testing.assert_allclose(again.log_weights, ensemble.log_weights, atol=1e-12)
    assert again.log_z == pytest.approx(ensemble.log_z)
    assert again.effective_sample_size == pytest.approx(ensemble.effective_sample_size)


def test_frames_of_dynamics_stay_worth_less_than_their_number():
    ensemble, r = bond_ensemble(2000)
    frames = boltzgen.Ensemble.from_frames(
        ensemble.molecule, torch.as_tensor(ensemble.positions), harmonic(r, 0.13, 0.004), TEMPERATURE, 100.0
    )
    other = frames.reweight(KT * harmonic(r, 0.13, 0.0035).numpy())
    assert not other.has_free_energy
    assert 50 < other.effective_sample_size < 100


def test_a_part_of_the_samples_is_enough_and_a_missing_energy_counts_as_infinite():
    ensemble, r = bond_ensemble()
    rows = np.arange(0, 20_000, 10)
    energies = KT * harmonic(r, 0.13, 0.0033).numpy()[rows]
    energies[3] = np.nan
    other = ensemble.reweight(energies, rows)
    assert len(other) == 2000
    assert other.log_weights[3] == -np.inf
    assert abs(other.log_z.value - math.log(0.0033 * math.sqrt(2 * math.pi))) < 4 * other.log_z.stderr


def test_what_does_not_belong_together_is_refused():
    ensemble, _ = bond_ensemble(50)
    with pytest.raises(InputError, match="49 energies for 50 samples"):
        ensemble.reweight(np.zeros(49))
    with pytest.raises(InputError, match="from 0 to 49"):
        ensemble.reweight(np.zeros(2), [4, 50])
    with pytest.raises(NotConvergedError, match="finite"):
        ensemble.reweight(np.full(50, np.nan))
    generated = boltzgen.Ensemble.from_generated(
        ensemble.molecule, torch.as_tensor(ensemble.positions), torch.zeros(50), TEMPERATURE
    )
    with pytest.raises(InputError, match="not weighted"):
        generated.reweight(np.zeros(50))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "water"
    frames = {"ladders": 4, "picoseconds": 1.0, "walkers": 16}
    boltzgen.sample("O", n=1000, max_steps=5, out=folder, frames=frames)
    return folder


def by_mmff94s(folder, path, unit="energy_kcal_mol", every=1):
    """Energies of the other variant of MMFF94 with a constant, as a file."""
    ensemble = boltzgen.Ensemble.load(folder)
    energy = boltzgen.compile_system(boltzgen.load_system("O", forcefield="mmff94s").system)
    values = energy(torch.as_tensor(ensemble.positions).double().permute(2, 1, 0).contiguous()) + 41.84
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["sample", unit])
        rows = range(0, len(values), every)
        writer.writerows([row, repr(float(values[row]) / 4.184)] for row in rows)
    return ensemble


def test_command_reweights_a_run_and_writes_another(run, tmp_path):
    energies = tmp_path / "other.csv"
    before = by_mmff94s(run, energies, every=2)
    arguments = ["reweight", str(run), "--energies", str(energies), "-o", str(tmp_path / "out"), "--json"]
    done = CliRunner().invoke(app, [*arguments, "--level", "MMFF94s"])
    assert done.exit_code == 0, done.output
    summary = json.loads(done.stdout)
    assert summary["forcefield"] == "MMFF94s"
    assert summary["n_samples"] == 500
    shift = summary["free_energy_kJ_mol"] - before.free_energy
    assert shift == pytest.approx(41.84, abs=4 * summary["free_energy_stderr_kJ_mol"])
    assert boltzgen.Ensemble.load(tmp_path / "out").metadata["level_steps"][0]["evaluations"] == 500


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("energy\n1.0\n", "energy_hartree"),
        ("energy_eV\none\n", "numbers"),
        ("energy_eV,energy_kJ_mol\n1,1\n", "one column"),
        ("energy_eV\n1.0\n", "1 energies for 1000"),
    ],
)
def test_a_file_that_does_not_fit_is_one_sentence(run, tmp_path, text, message):
    path = tmp_path / "energies.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        reweighted_run(run, path)
