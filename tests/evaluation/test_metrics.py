"""Distances against closed forms and coverage against modes left out on purpose."""

import math

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import trapezoid

from boltzgen.conformers import conformer_states, find_states
from boltzgen.errors import InputError
from boltzgen.evaluation.metrics import (
    cross_entropy,
    energy_wasserstein,
    mode_coverage,
    ramachandran_total_variation,
    torsion_distances,
    torsion_total_variation,
)
from boltzgen.molecules.molecule import Molecule
from boltzgen.molecules.torsions import ramachandran_torsions


def test_total_variation_of_two_von_mises_densities():
    first, second = stats.vonmises(4.0, loc=0.0), stats.vonmises(4.0, loc=0.5)
    x, y = (d.rvs(200_000, random_state=i) for i, d in enumerate((first, second)))
    grid = np.linspace(-math.pi, math.pi, 20_001)
    exact = 0.5 * trapezoid(np.abs(first.pdf(grid) - second.pdf(grid)), grid)
    found = torsion_total_variation(x, np.ones(len(x)), y)
    assert found.value == pytest.approx(exact, abs=0.01)
    assert found.null < 0.02
    weights = second.pdf(x) / first.pdf(x)
    assert torsion_total_variation(x, weights, y).value < 0.02


def test_halves_of_one_distribution_are_as_far_apart_as_the_null_says():
    rng = np.random.default_rng(0)
    x, y = rng.uniform(-math.pi, math.pi, (2, 4000, 2))
    found = ramachandran_total_variation(x, np.ones(4000), y)
    assert found.value < found.null < 1.0


def test_wasserstein_of_shifted_gaussians_is_the_shift():
    rng = np.random.default_rng(1)
    x, y = rng.normal(0.0, 1.0, 50_000), rng.normal(0.7, 1.0, 50_000)
    found = energy_wasserstein(x, np.ones(50_000), y)
    assert found.value == pytest.approx(0.7, abs=0.02)
    assert found.null < 0.03
    clash, weights = np.append(x, np.inf), np.append(np.ones(50_000), 0.0)
    assert energy_wasserstein(clash, weights, y).value == pytest.approx(found.value)


def test_cross_entropy_of_a_gaussian():
    x = np.random.default_rng(2).normal(size=10_000)
    found = cross_entropy(stats.norm.logpdf(x), n_independent=1e4)
    assert abs(found.value - 0.5 * math.log(2 * math.pi * math.e)) < 4 * found.stderr


def test_a_dropped_mode_is_named():
    molecule = Molecule.from_smiles("CCCC")
    seeds = molecule.seed_conformers(30, seed=1)
    rng = np.random.default_rng(3)
    frames = seeds[rng.integers(0, len(seeds), 3000)] + rng.normal(0, 0.003, (3000, molecule.n_atoms, 3))
    states = find_states(molecule, frames, np.ones(3000))
    assigned = conformer_states(states, frames)[:, 0]
    lost = states[0].labels.index("gauche+")
    kept = frames[assigned != lost]
    complete = mode_coverage(states, frames, np.ones(3000), frames)
    assert complete.n_reached == complete.n_conformers == len(states[0].labels)
    assert complete.mass_reached == 1.0
    partial = mode_coverage(states, kept, np.ones(len(kept)), frames)
    assert partial.n_reached == complete.n_conformers - 1
    assert partial.missed == (("gauche+", pytest.approx((assigned == lost).mean())),)
    distances = torsion_distances(molecule, kept, np.ones(len(kept)), frames)
    assert distances["C1–C2–C3–C4"].value == pytest.approx((assigned == lost).mean(), abs=1e-9)
    assert distances["C1–C2–C3–C4"].null < distances["C1–C2–C3–C4"].value
    assert partial.mass_reached == pytest.approx((assigned != lost).mean())


def test_ramachandran_torsions_of_a_dipeptide():
    molecule = Molecule.from_smiles("CC(=O)N[C@@H](C)C(=O)NC")
    ((phi, psi),) = ramachandran_torsions(molecule)
    assert (phi.name, psi.name) == ("C2–N4–C5–C7", "N4–C5–C7–N9")
    assert ramachandran_torsions(Molecule.from_smiles("CCCC")) == []


def test_too_few_frames_are_refused():
    with pytest.raises(InputError, match="too few"):
        torsion_total_variation(np.zeros(1000), np.ones(1000), np.zeros(10))
