"""Each figure catches the failure that it is for: butane's own frames, spoilt in one way at a time."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from boltzgen.coordinates.build import build_coordinates
from boltzgen.energies.compiler import compile_system
from boltzgen.energies.target import BoltzmannTarget
from boltzgen.errors import InputError
from boltzgen.evaluation.comparison import Yardstick
from boltzgen.evaluation.description import describe
from boltzgen.molecules.torsions import conformer_torsions
from boltzgen.sampling.frames import FramesConfig, thermal_frames
from boltzgen.systems import load_system


@pytest.fixture(scope="module")
def butane():
    """Yardstick, training frames and fresh frames: quarters of one run, divided at random."""
    system = load_system("CCCC")
    molecule = system.molecule
    target = BoltzmannTarget(compile_system(system.system), 300.0)
    starts = torch.as_tensor(molecule.seed_conformers(16, seed=0)).float()
    generator = torch.Generator().manual_seed(0)
    config = FramesConfig(ladders=96, picoseconds=8.0)
    frames = thermal_frames(target, torch.as_tensor(molecule.masses).float(), starts, config, generator)
    energies = target.reduced_energy(frames.positions)
    coordinates = build_coordinates(molecule, frames.positions.double(), energies.double())
    torsions = conformer_torsions(molecule)
    described = describe(coordinates, torsions, frames.positions.numpy(), energies.numpy())
    quarter = np.random.default_rng(0).permutation(len(frames.positions)) % 4
    parts = [described.take(quarter == index) for index in range(4)]
    yardstick = Yardstick(molecule, torsions, (parts[2], parts[3]), most_transport=300)
    return yardstick, parts[0], parts[1]


def test_frames_of_other_ladders_are_at_the_null(butane):
    yardstick, training, fresh = butane
    found = yardstick.measure(fresh, training.features)
    for name, figure in found.figures.items():
        assert figure.value < 1.5 * figure.null + 6 * figure.stderr, name
    assert abs(found.figures["classifier_balanced_accuracy"].value - 0.5) < 0.05
    assert found.coverage.n_reached == found.coverage.n_conformers == 3
    assert abs(found.high_energies.value - 0.001) < 4 * found.high_energies.stderr
    assert abs(found.copied.value - 0.5) < 0.1


def test_a_dropped_mode_is_seen_by_torsions_and_named(butane):
    yardstick, training, fresh = butane
    states = yardstick.states[0]
    lost = states.labels.index("gauche+")
    found = yardstick.measure(fresh.take(states.assign(fresh.torsions[:, 0]) != lost), training.features)
    population = float((states.assign(fresh.torsions[:, 0]) == lost).mean())
    assert found.coverage.n_reached == 2
    assert [label for label, _ in found.coverage.missed] == ["gauche+"]
    torsion = found.torsions["C1–C2–C3–C4"]
    assert torsion["ks"].value > 0.7 * population > 3 * torsion["ks"].null
    for name in ("ks_worst_torsion", "kl_worst_torsion", "w1_torsions_rad", "w2_torsions_rad"):
        assert found.figures[name].value > 2.5 * found.figures[name].null, name
    assert found.figures["classifier_balanced_accuracy"].value > 0.52


def test_right_torsions_with_wrong_energies_are_seen(butane):
    """Three of ten samples have 15 kT more than they should."""
    yardstick, training, fresh = butane
    rng = np.random.default_rng(0)
    hot = rng.random(len(fresh)) < 0.3
    energies = fresh.energies + 15.0 * hot
    found = yardstick.measure(replace(fresh, energies=energies), training.features)
    for name in ("ks_energy", "w1_energy_kT", "w2_energy_kT"):
        assert found.figures[name].value > 2.5 * found.figures[name].null, name
    assert found.figures["w1_energy_kT"].value == pytest.approx(0.3 * 15.0, rel=0.3)
    assert found.high_energies.value > 0.05
    assert found.figures["ks_worst_torsion"].value < 2 * found.figures["ks_worst_torsion"].null


def test_wrong_geometry_with_right_torsions_is_seen(butane):
    yardstick, training, fresh = butane
    narrow = fresh.features.copy()
    narrow[:, 2 * 3 :] *= 0.7
    found = yardstick.measure(replace(fresh, features=narrow), training.features)
    assert found.figures["classifier_balanced_accuracy"].value > 0.6
    assert found.figures["mmd_squared"].value > 5 * abs(found.figures["mmd_squared"].null)
    assert found.mmd_p_value < 0.01


def test_copied_frames_are_seen(butane):
    yardstick, training, _ = butane
    copies = training.take(np.random.default_rng(1).integers(0, len(training), 1500))
    found = yardstick.measure(copies, training.features)
    assert found.copied.value == 1.0


def test_weights_mend_what_they_can(butane):
    """Frames drawn with a bias on one torsion, reweighted by its inverse."""
    yardstick, _, fresh = butane
    bias = np.exp(1.2 * np.cos(fresh.torsions[:, 0]))
    drawn = np.random.default_rng(2).choice(len(fresh), len(fresh), p=bias / bias.sum())
    samples = fresh.take(drawn)
    weighted = yardstick.measure_weighted(samples, -np.log(bias[drawn]))
    generated = yardstick.measure(samples, None)
    assert generated.copied is None
    for name in ("ks_worst_torsion", "w1_torsions_rad", "js_worst_torsion"):
        assert weighted.figures[name].value < 0.6 * generated.figures[name].value, name
    assert "classifier_balanced_accuracy" not in weighted.figures


def test_too_few_frames_give_a_sentence_and_no_number(butane):
    yardstick, training, fresh = butane
    with pytest.raises(InputError, match="not enough frames: 150 to compare"):
        yardstick.measure(fresh.take(np.arange(150)), None)
    with pytest.raises(InputError, match="not enough frames"):
        yardstick.measure(fresh, training.features[:100])


def test_a_clash_is_an_infinite_distance_not_a_missing_one(butane):
    yardstick, _, fresh = butane
    energies = fresh.energies.copy()
    energies[0] = math.inf
    found = yardstick.measure(replace(fresh, energies=energies), None)
    assert found.high_energies.value >= 1 / len(fresh)
    assert math.isfinite(found.figures["ks_energy"].value)
