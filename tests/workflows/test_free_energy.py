"""Free energies from the whole workflow, against quadrature on the bonded toy."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import boltzgen
from boltzgen.cli import app
from boltzgen.errors import InputError
from boltzgen.progress import Stopwatch, untimed
from boltzgen.systems import load_system
from boltzgen.thermodynamics.ideal_gas import R
from boltzgen.thermodynamics.regions import parse_region
from boltzgen.units import thermal_energy
from boltzgen.workflows.state_data import LadderRun, Sampled, StateData, drawn_samples
from boltzgen.workflows.state_free_energy import state_result
from boltzgen.workflows.trained_state import TrainedState
from tests.bonded_toy import log_z
from tests.thermodynamics.test_ideal_gas import harmonic

FAST = {"max_steps": 30, "frames": {"ladders": 24, "picoseconds": 1.5}, "n": 2000, "seed": 1}
TOY = "bonded-toy"


def exact(temperature):
    """F of the toy in kJ/mol."""
    return -thermal_energy(temperature) * log_z(load_system(TOY).system, temperature)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A state's free energy, curve and populations, and the folder of it."""
    folder = tmp_path_factory.mktemp("free-energy") / "run"
    states = [
        "short: distance 2-4 in [0, 0.3] and torsion 0-1-2-3 in [-400, 400]",
        "all: angle 0-1-2 in [0, 180]",
    ]
    return boltzgen.free_energy(TOY, states=states, temperatures=[300, 400], out=folder, **FAST), folder


def test_every_estimator_has_the_quadrature(run):
    (state,) = run[0].states
    assert {one.estimator for one in state.estimates} == {
        "importance weights",
        "frames in the model",
        "Bennett",
    }
    for one in state.estimates:
        assert one.stderr_kJ_mol < 0.08
        assert abs(one.free_energy_kJ_mol - exact(300)) < 3 * one.stderr_kJ_mol, one.estimator
    assert state.lower_bound_kJ_mol < exact(300) < state.upper_bound_kJ_mol
    assert not state.disagreements
    assert run[0].difference is None


def test_the_curve_has_the_quadrature_and_its_derivatives(run):
    (state,) = run[0].states
    curve = state.curve
    assert curve.temperatures_K == [300, 400]
    for k, temperature in enumerate((300, 400)):
        assert (
            abs(curve.free_energy_kJ_mol[k] - exact(temperature)) < 3.5 * curve.free_energy_stderr_kJ_mol[k]
        )
        step = 1.0
        entropy = -1000 * (exact(temperature + step) - exact(temperature - step)) / (2 * step)
        assert abs(curve.entropy_J_mol_K[k] - entropy) < 3.5 * curve.entropy_stderr_J_mol_K[k]
    assert abs(state.entropy_J_mol_K - curve.entropy_J_mol_K[0]) < 5 * state.entropy_stderr_J_mol_K


def test_regions_have_populations_and_free_energies(run):
    short, everything = run[0].states[0].regions
    assert everything.population == pytest.approx(1.0)
    assert 0 < short.population < 1
    assert short.free_energy_kJ_mol == pytest.approx(-thermal_energy(300) * math.log(short.population))
    assert abs(short.by_importance_weights - short.by_replica_exchange) < 0.1
    assert short.agrees


def test_files_and_json_schema_hold_the_summary(run):
    summary, folder = run
    assert json.loads((folder / "free-energy.json").read_text())["kind"] == "free-energy"
    again = type(summary).model_validate_json((folder / "free-energy.json").read_text())
    assert again.states[0].free_energy_kJ_mol == summary.states[0].free_energy_kJ_mol
    assert (folder / "first" / "summary.json").exists()


def test_a_finished_run_goes_on_until_the_error_is_reached(run):
    tight = 0.6 * run[0].states[0].free_energy_stderr_kcal_mol
    more = boltzgen.free_energy(run[1], temperatures=[300], error=tight, budget=60)
    (state,) = more.states
    assert state.free_energy_stderr_kcal_mol <= tight
    assert state.n_samples > run[0].states[0].n_samples
    assert abs(state.free_energy_kJ_mol - exact(300)) < 3.5 * state.free_energy_stderr_kJ_mol


def test_a_mode_dropped_on_purpose_gives_no_confident_wrong_value(run):
    """The model without half of its space, exactly normalised: q/P on one side of a torsion."""
    state = TrainedState.of_folder(run[1] / "first")
    generator = torch.Generator().manual_seed(3)
    samples = drawn_samples(state, 8000, generator, Stopwatch())
    ladder = LadderRun(state, 300.0, 900.0, generator)
    ladder.extend(Stopwatch(), untimed)
    frames = ladder.frames()

    def kept(x):
        return parse_region("kept: torsion 2-1-0-4 in [0, 180]", state.system.molecule).holds(x.numpy())

    inside = kept(samples.positions)
    truncated = Sampled(
        samples.positions[inside],
        samples.reduced_energies[inside],
        samples.log_prob[inside] - np.log(inside.mean()),
    )
    flat = kept(frames.positions.flatten(0, 1)).reshape(frames.log_prob.shape)
    log_prob = np.where(flat, frames.log_prob - np.log(inside.mean()), -np.inf)
    dropped = state_result(StateData(state, truncated, replace(frames, log_prob=log_prob)), "300 K", 0, {})
    assert not dropped.record.converged
    pairs = {(one.first, one.second) for one in dropped.record.disagreements}
    assert ("importance weights", "frames in the model") in pairs
    by_frames = dropped.found["frames in the model"]
    assert abs(by_frames.value * dropped.kT - exact(300)) < 4 * by_frames.stderr * dropped.kT
    assert any("a conformer may be missing" in warning for warning in dropped.record.warnings)
    whole = state_result(StateData(state, samples, frames), "300 K", 0, {})
    assert not whole.record.disagreements


def test_between_two_temperatures_every_way_has_the_quadrature():
    summary = boltzgen.free_energy(TOY, between=({"T": 300}, {"T": 390}), **FAST)
    apart = summary.difference
    assert (apart.first, apart.second) == ("T=300.0", "T=390.0")
    assert {one.estimator for one in apart.estimates} == {
        "two models",
        "two models, importance weights",
        "Bennett between the ensembles",
        "MBAR over models and ensembles",
        "MBAR over temperatures",
    }
    truth = exact(390) - exact(300)
    for one in apart.estimates:
        assert one.stderr_kJ_mol < 0.3, one.estimator
        assert abs(one.free_energy_kJ_mol - truth) < 3.5 * one.stderr_kJ_mol, one.estimator
    assert not apart.disagreements
    assert 0.05 < apart.overlap < 1
    assert apart.energy_kJ_mol - apart.temperature_entropy_kJ_mol == pytest.approx(apart.free_energy_kJ_mol)
    kcal = apart.free_energy_kJ_mol / 4.184
    assert apart.free_energy_kcal_mol == pytest.approx(kcal)


def test_methane_has_the_entropy_of_its_oscillators():
    """Nearly harmonic and rigid: S° is that of rotor and oscillators, 186.3 J/mol/K measured."""
    (state,) = boltzgen.free_energy(
        "C", temperature=298.15, temperatures=[298.15], ideal_gas=True, **FAST
    ).states
    gas = state.ideal_gas
    entropy = harmonic("C")[3]
    assert gas.symmetry_number == 12
    assert gas.entropy_J_mol_K == pytest.approx(entropy - R * math.log(12), abs=1.0)
    assert gas.entropy_J_mol_K == pytest.approx(186.3, abs=1.5)
    assert gas.entropy_stderr_J_mol_K < 1.0
    parts = gas.translation_J_mol_K + gas.rotation_J_mol_K + gas.configuration_J_mol_K
    assert parts + gas.quantum_correction_J_mol_K == pytest.approx(gas.entropy_J_mol_K)


def test_isomers_differ_by_minima_rotors_and_oscillators():
    """E and Z 1,2-difluoroethene, both rigid, with symmetry number 2."""
    summary = boltzgen.free_energy("F/C=C/F", to="F/C=C\\F", **FAST)
    energies = [harmonic(smiles, 300.0)[1:3] for smiles in ("F/C=C/F", "F/C=C\\F")]
    truth = sum(energies[1]) - sum(energies[0])
    for one in summary.difference.estimates:
        assert abs(one.free_energy_kJ_mol - truth) < 0.15 + 3 * one.stderr_kJ_mol, one.estimator
    assert "isomers" in summary.convention
    assert not any("bonded differently" in warning for warning in summary.warnings)


def test_what_is_no_isomer_is_refused_and_other_bonding_is_told():
    with pytest.raises(InputError, match="no isomers"):
        boltzgen.free_energy("CCO", to="CCN", **FAST)
    with pytest.raises(InputError, match="the same molecule"):
        boltzgen.free_energy("CCO", to="OCC", **FAST)
    with pytest.raises(InputError, match="no solvent 'obc2'"):
        boltzgen.free_energy("C", solvent="obc2", ideal_gas=True, **FAST)


def test_states_that_do_not_differ_and_models_without_density_are_refused(tmp_path):
    with pytest.raises(InputError, match="two states are the same"):
        boltzgen.free_energy(TOY, between=({"T": 300}, {"T": 300}), **FAST)
    with pytest.raises(InputError, match="no exact density"):
        boltzgen.free_energy(TOY, model="gan", **FAST)


def test_the_command_prints_both_units_and_writes_json(tmp_path, run):
    file = tmp_path / "figures.json"
    result = CliRunner().invoke(
        app, ["free-energy", str(run[1]), "--json", str(file), "--temperatures", "300"]
    )
    assert result.exit_code == (0 if json.loads(file.read_text())["converged"] else 3)
    for text in ("kJ/mol", "kcal/mol", "8π²V", "Bennett"):
        assert text in result.stdout
    figures = json.loads(file.read_text())
    assert np.isfinite(figures["states"][0]["free_energy_kJ_mol"])
