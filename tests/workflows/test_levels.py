"""From MMFF94 to a costly energy: weights stay exact, each step buys effective samples."""

import math

import numpy as np
import pytest
import torch

import boltzgen
from boltzgen.errors import InputError
from boltzgen.records.run import read_summary
from boltzgen.report.terminal import summary_rows
from boltzgen.sampling.importance import weighted_mean
from boltzgen.workflows.config import SampleConfig
from boltzgen.workflows.levels import level_budget, start_config, start_level
from boltzgen.workflows.reference import ReferenceConfig, reference_ensemble

SHORT = {
    "frames": {"ladders": 8, "picoseconds": 2.0, "walkers": 32, "local_picoseconds": 2.0},
    "training": {"batch_size": 64},
}


def test_programs_start_from_mmff_and_formulas_from_nothing():
    assert start_level(SampleConfig(molecule="CCO", forcefield="GFN2")) == "mmff94"
    assert start_level(SampleConfig(molecule="CCO", forcefield="mmff94s")) is None
    assert start_level(SampleConfig(molecule="CCO", forcefield="gfn2", start_from="none")) is None
    assert start_level(SampleConfig(molecule="CCO", forcefield="ani2x", model="vae")) is None
    with pytest.raises(InputError, match="model 'flow', not 'vae'"):
        start_level(SampleConfig(molecule="CCO", start_from="mmff94", model="vae"))


def test_the_cheap_run_has_its_share_of_a_longer_budget():
    config = level_budget(SampleConfig(molecule="CCO", forcefield="gfn2", solvent="water"))
    cheap = start_config("mmff94", config)
    assert cheap.budget_seconds == pytest.approx(0.25 * config.budget_seconds)
    assert (cheap.forcefield, cheap.solvent) == ("mmff94", "water")


@pytest.fixture(scope="module")
def methanol():
    pytest.importorskip("tblite")
    return boltzgen.sample("CO", n=512, forcefield="gfn2", effective=480, max_steps=16, seed=1, **SHORT)


def test_a_short_run_converges_and_says_what_each_step_took(methanol):
    steps = methanol.metadata["level_steps"]
    shares = [step["effective_sample_size_fraction"] for step in steps]
    assert [step["evaluations"] for step in steps[:3]] == [512, 512, 512]
    assert steps[3]["step"].startswith("fine-tuned")
    assert max(shares[1:3]) > 1.3 * shares[0]  # the map
    assert methanol.metadata["converged"]
    assert methanol.pareto_k < 0.7
    rows = dict(summary_rows(read_summary(methanol.summary())))
    assert "512 evaluations" in rows["flow of mmff94, reweighted"]


def test_weights_are_those_of_the_costly_energy(methanol):
    """ln Z has the size of GFN2's energy; the mean bond length is that of its own minimum, not MMFF94's."""
    system = boltzgen.load_system("CO", forcefield="gfn2")
    target = boltzgen.BoltzmannTarget(boltzgen.compile_system(system.system), 300.0)
    x = torch.as_tensor(methanol.positions).double()
    torch.testing.assert_close(
        target.reduced_energy(x), torch.as_tensor(methanol.reduced_energies), rtol=0, atol=0.01
    )
    torch.testing.assert_close(
        torch.as_tensor(methanol.log_weights),
        torch.as_tensor(-methanol.reduced_energies - methanol.log_prob),
    )
    lengths = np.linalg.norm(methanol.positions[:, 0] - methanol.positions[:, 1], axis=1)
    mean = methanol.mean(lengths)
    minimum = relaxed(target, x[int(np.argmin(methanol.reduced_energies))])
    wanted = float((minimum[0] - minimum[1]).norm())
    assert abs(mean.value - wanted) < 5 * mean.stderr + 0.0008  # anharmonic stretching, nm


def relaxed(target, x):
    """A minimum by steepest descent with momentum."""
    x, velocity = x[None].clone(), torch.zeros_like(x[None])
    for _ in range(150):
        _, gradient = target.reduced_energy_and_gradient(x)
        velocity = 0.8 * velocity - 1e-6 * gradient
        x = x + velocity
    return x[0]


@pytest.mark.slow
def test_gfn2_butane_is_that_of_reweighted_long_sampling():
    """Free energy of gauche against anti: fine-tuned flow, and replica exchange of MMFF94 reweighted."""
    pytest.importorskip("tblite")
    ensemble = boltzgen.sample("CCCC", n=6000, forcefield="gfn2", budget=90, seed=2)
    assert ensemble.metadata["converged"]
    found = gauche_minus_anti(ensemble.positions, torch.as_tensor(ensemble.log_weights))

    reference = reference_ensemble(boltzgen.load_system("CCCC"), ReferenceConfig(picoseconds=100)).ensemble
    rows = np.random.default_rng(0).permutation(len(reference))[:8000]
    x = torch.as_tensor(reference.positions[rows])
    system = boltzgen.load_system("CCCC", forcefield="gfn2").system
    u = boltzgen.BoltzmannTarget(boltzgen.compile_system(system), 300.0).reduced_energy(x)
    expected = gauche_minus_anti(x.numpy(), torch.as_tensor(reference.reduced_energies[rows]) - u)
    difference, error = found[0] - expected[0], math.hypot(found[1], expected[1])
    assert abs(difference) < max(2 * error, 0.1)
    assert error < 0.15


def gauche_minus_anti(positions, log_weights):
    """kcal/mol at 300 K, with its standard error."""
    b = [positions[:, k + 1] - positions[:, k] for k in range(3)]
    first, second = np.cross(b[0], b[1]), np.cross(b[1], b[2])
    cosine = (first * second).sum(1) / np.linalg.norm(first, axis=1) / np.linalg.norm(second, axis=1)
    share = weighted_mean(torch.as_tensor(cosine > -0.5).double(), log_weights)
    kT = 0.0019872 * 300.0
    return -kT * math.log(share.value / (1 - share.value)), kT * share.stderr / share.value / (
        1 - share.value
    )
