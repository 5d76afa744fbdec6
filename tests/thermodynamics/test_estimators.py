"""Estimators of −ln Z against closed forms: shifted Gaussians, the bonded toy by quadrature, coverage."""

import math

import numpy as np
import openmm
import pytest
import torch

from boltzgen.energies.compiler import compile_system
from boltzgen.energies.target import BoltzmannTarget
from boltzgen.errors import InputError
from boltzgen.systems import load_system
from boltzgen.thermodynamics.agreement import difference, disagreements, reported
from boltzgen.thermodynamics.estimators import (
    BENNETT,
    FRAMES,
    IMPORTANCE,
    WeightedData,
    bounds,
    estimates,
)
from boltzgen.units import thermal_energy
from tests.bonded_toy import log_z
from tests.test_bonded_toys import PLACEMENTS, placed

LADDERS = 64


def gaussian_data(random, n, n_frames, shift=0.7, width=0.9, log_z=-3.2):
    """ln w of q = N(0, 1) for p = N(shift, width²) with e^(−u) scaled so that ln Z is ``log_z``."""

    def log_weight(x):
        log_p = -0.5 * ((x - shift) / width) ** 2 - 0.5 * math.log(2 * math.pi * width**2)
        return log_p + log_z + 0.5 * x**2 + 0.5 * math.log(2 * math.pi)

    samples, frames = random.normal(size=n), random.normal(shift, width, n_frames)
    return WeightedData.of(log_weight(samples), log_weight(frames).reshape(LADDERS, -1))


def test_shifted_gaussians_have_their_closed_form():
    found = estimates(gaussian_data(np.random.default_rng(3), 40_000, 32_000))
    assert set(found) == {IMPORTANCE, FRAMES, BENNETT}
    for name, one in found.items():
        assert one.stderr < 0.01, name
        assert abs(one.value - 3.2) < 3 * one.stderr, name
        assert abs(one.bias) < 3 * one.stderr, name
    assert found[BENNETT].stderr < min(found[IMPORTANCE].stderr, found[FRAMES].stderr)
    assert not disagreements(found)
    assert reported(found, (BENNETT, IMPORTANCE)) == BENNETT


def test_bounds_bracket_the_free_energy_by_the_divergences():
    found = bounds(gaussian_data(np.random.default_rng(4), 40_000, 32_000))
    shift, width = 0.7, 0.9
    # KL(q‖p) and KL(p‖q) of two normal densities.
    reverse = math.log(width) + (1 + shift**2) / (2 * width**2) - 0.5
    forward = -math.log(width) + (width**2 + shift**2) / 2 - 0.5
    assert found.upper == pytest.approx(3.2 + reverse, abs=4 * found.upper_stderr)
    assert found.lower == pytest.approx(3.2 - forward, abs=4 * found.lower_stderr)
    assert max(found.upper_stderr, found.lower_stderr) < 0.02


def test_a_sample_without_weight_counts_and_makes_the_upper_bound_infinite():
    random = np.random.default_rng(5)
    samples = np.where(random.random(20_000) < 0.25, -np.inf, 1.0)
    found = estimates(WeightedData.of(samples))
    assert list(found) == [IMPORTANCE]
    assert found[IMPORTANCE].value == pytest.approx(-1.0 - math.log(0.75), abs=4 * found[IMPORTANCE].stderr)
    assert bounds(WeightedData.of(samples)).upper == math.inf


def test_samples_wasted_where_frames_never_are_do_not_bias_the_frames():
    """A fifth of the model's samples clash; frames alone would have ln Z too high by −ln 0.8 = 0.22."""
    random = np.random.default_rng(6)
    wasted = random.random(40_000) < 0.2
    samples = np.where(wasted, -np.inf, math.log(1 / 0.8))
    frames = np.full((LADDERS, 200), math.log(1 / 0.8))
    found = estimates(WeightedData.of(samples, frames))
    for name in (IMPORTANCE, FRAMES, BENNETT):
        assert found[name].value == pytest.approx(0.0, abs=4 * found[name].stderr), name
    assert not disagreements(found)


def test_a_dropped_mode_makes_the_estimators_disagree():
    """The model has q = p/0.8 on four fifths of p and never makes the rest."""
    random = np.random.default_rng(7)
    samples = math.log(0.8) + 0.05 * random.normal(size=10_000)
    dropped = random.random((LADDERS, 40)) < 0.2
    frames = np.where(dropped, 30.0, math.log(0.8) + 0.05 * random.normal(size=dropped.shape))
    found = estimates(WeightedData.of(samples, frames))
    assert found[IMPORTANCE].value == pytest.approx(-math.log(0.8), abs=0.01)  # it looks splendid
    assert found[FRAMES].value == pytest.approx(0.0, abs=5 * found[FRAMES].stderr)
    assert (IMPORTANCE, FRAMES) in {(one.first, one.second) for one in disagreements(found)}
    assert difference(found, IMPORTANCE, FRAMES).errors > 10


def test_errors_cover_the_truth_as_often_as_they_say():
    """95 % intervals of 50 repeats: with chance 99 % between 44 and 50 of them hold the true value."""
    held = dict.fromkeys((IMPORTANCE, FRAMES, BENNETT), 0)
    random = np.random.default_rng(8)
    for repeat in range(50):
        found = estimates(gaussian_data(random, 2000, 640), seed=repeat)
        for name in held:
            held[name] += abs(found[name].value - 3.2) < 1.96 * found[name].stderr
    for name, times in held.items():
        assert 44 <= times <= 50, name


def test_frames_of_one_ladder_are_not_taken_for_independent():
    """Each ladder repeats one frame: the error is that of the ladders, not of the frames."""
    random = np.random.default_rng(9)
    one_each = random.normal(size=(LADDERS, 1)) * 0.5
    samples = random.normal(size=4000) * 0.5
    few = estimates(WeightedData.of(samples, one_each))[FRAMES]
    many = estimates(WeightedData.of(samples, np.repeat(one_each, 50, axis=1)))[FRAMES]
    assert many.stderr == pytest.approx(few.stderr, rel=1e-6)


def test_one_ladder_gives_no_error():
    with pytest.raises(InputError, match="two independent blocks"):
        estimates(WeightedData.of(np.zeros(100), np.zeros((1, 10))))


def nearly_boltzmann(system, temperature, n, random, cooler=0.85):
    """Positions of the chain [n, atoms, 3] and ln w of proposals that are the Boltzmann density, too wide.

    Bonds and angles are normal with 1/``cooler`` of the variance; torsions have exp(−``cooler`` u) on a
    lattice and are uniform between its points, so that their density is known exactly.
    """
    kT, x, log_weights = thermal_energy(temperature), np.zeros((n, 6, 3)), np.zeros(n)
    bonds, angles, torsions = system.getForces()
    rows = [bonds.getBondParameters(k) for k in range(bonds.getNumBonds())]
    rest = {frozenset(row[:2]): (row[2]._value, row[3]._value / kT) for row in rows}
    rows = [angles.getAngleParameters(k) for k in range(angles.getNumAngles())]
    rest |= {frozenset(row[:3]): (row[3]._value, row[4]._value / kT) for row in rows}
    edges = np.linspace(-np.pi, np.pi, 2049)
    lattice, barriers = 0.5 * (edges[1:] + edges[:-1]), {}
    for k in range(torsions.getNumTorsions()):
        *atoms, periodicity, phase, barrier = torsions.getTorsionParameters(k)
        u = barrier._value / kT * (1 + np.cos(periodicity * lattice - phase._value))
        barriers[frozenset(atoms)] = barriers.get(frozenset(atoms), 0.0) + u

    def normal(centre, stiffness):
        width = 1 / np.sqrt(cooler * stiffness)
        z = random.normal(size=n)
        log_weights[:] += 0.5 * z**2 + 0.5 * np.log(2 * np.pi * width**2)
        return centre + width * z

    for atom, *references in PLACEMENTS["bonded-toy"][1:]:
        b = normal(*rest[frozenset((atom, references[0]))])
        log_weights += 2 * np.log(b)
        if len(references) == 1:
            x[:, atom, 0] = b
            continue
        angle = normal(*rest[frozenset((atom, *references[:2]))])
        log_weights += np.log(np.sin(angle))
        torsion = np.zeros(n)
        if len(references) == 3:
            share = np.exp(-cooler * barriers[frozenset((atom, *references))])
            share /= share.sum()
            chosen = random.choice(len(share), n, p=share)
            torsion = edges[chosen] + random.random(n) * (edges[1] - edges[0])
            log_weights -= np.log(share[chosen] / (edges[1] - edges[0]))
        placed(x, atom, references, b, angle, torsion)
    target = BoltzmannTarget(compile_system(system), temperature)
    return x, log_weights - target.reduced_energy(torch.as_tensor(x)).numpy()


@pytest.mark.parametrize("temperature", [300.0, 450.0])
@pytest.mark.parametrize("stiffer", [1.0, 3.0])
def test_the_bonded_toy_has_its_quadrature(temperature, stiffer):
    """Frames are those proposals, out of a second set, that rejection sampling accepts."""
    system = openmm.XmlSerializer.clone(load_system("bonded-toy").system)
    bonds, angles = system.getForce(0), system.getForce(1)
    for k in range(bonds.getNumBonds()):
        *row, stiffness = bonds.getBondParameters(k)
        bonds.setBondParameters(k, *row, stiffness * stiffer)
    for k in range(angles.getNumAngles()):
        *row, stiffness = angles.getAngleParameters(k)
        angles.setAngleParameters(k, *row, stiffness * stiffer)
    random = np.random.default_rng(10)
    _, log_weights = nearly_boltzmann(system, temperature, 50_000, random)
    samples, others = log_weights[:15_000], log_weights[15_000:]
    frames = others[np.log(random.random(len(others))) < others - others.max()]
    frames = frames[: len(frames) // LADDERS * LADDERS].reshape(LADDERS, -1)
    found = estimates(WeightedData.of(samples, frames))
    assert set(found) == {IMPORTANCE, FRAMES, BENNETT}
    for name, one in found.items():
        assert one.stderr < 0.01, name
        assert abs(one.value + log_z(system, temperature)) < 3 * one.stderr, name
