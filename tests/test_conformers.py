"""Torsion states against mixtures of known parts, and populations against their closed-form errors."""

import math

import numpy as np
import pytest

from boltzgen.conformers import (
    conformer_states,
    conformer_table,
    find_states,
    found_conformers,
    torsion_states,
)
from boltzgen.errors import InputError
from boltzgen.molecules.molecule import Molecule
from boltzgen.molecules.torsions import Torsion, conformer_torsions, torsion_values, wrapped

TORSION = Torsion((0,), (1, 2), (3,), "C1–C2–C3–C4", "rotatable")
PHENYL = Torsion((0,), (1, 2), (3,), "C1–C2–C3–C4", "rotatable", math.pi)


def mixture(rng, parts, n):
    """n angles of wrapped Gaussians given as (share, centre, width)."""
    shares = np.array([share for share, _, _ in parts])
    chosen = rng.choice(len(parts), n, p=shares / shares.sum())
    centres, widths = (np.array([part[i] for part in parts])[chosen] for i in (1, 2))
    return wrapped(rng.normal(centres, widths))


def equal(n):
    return np.full(n, 1 / n)


def test_butane_has_its_three_states():
    values = mixture(
        np.random.default_rng(0), [(0.7, math.pi, 0.2), (0.15, 1.1, 0.2), (0.15, -1.1, 0.2)], 20_000
    )
    states = torsion_states(TORSION, values, equal(20_000))
    assert states.labels == ("gauche−", "gauche+", "anti")
    assert states.centres[:2] == pytest.approx([-1.1, 1.1], abs=0.02)
    assert abs(states.centres[2]) == pytest.approx(math.pi, abs=0.02)
    shares = np.bincount(states.assign(values)) / 20_000
    assert shares == pytest.approx([0.15, 0.15, 0.7], abs=0.01)


@pytest.mark.parametrize("rotation", np.linspace(-3.1, 3.1, 7))
def test_states_turn_with_the_angles(rotation):
    rng = np.random.default_rng(1)
    values = wrapped(mixture(rng, [(0.5, 0.0, 0.3), (0.5, 2.0, 0.3)], 5000) + rotation)
    states = torsion_states(TORSION, values, equal(5000))
    assert len(states.centres) == 2
    found = sorted(np.abs(wrapped(np.array(states.centres) - rotation)))
    assert found == pytest.approx([0.0, 2.0], abs=0.05)


def test_weights_decide_not_counts():
    values = np.concatenate([np.full(900, 0.1), np.full(100, 2.5)]) + np.random.default_rng(2).normal(
        0, 0.1, 1000
    )
    weights = np.concatenate([np.full(900, 1e-9), np.full(100, 1.0)])
    assert len(torsion_states(TORSION, values, weights).centres) == 1
    assert len(torsion_states(TORSION, values, np.ones(1000)).centres) == 2


@pytest.mark.parametrize("seed", range(5))
def test_one_broad_well_and_a_free_rotor_are_one_state(seed):
    rng = np.random.default_rng(seed)
    for values in (rng.normal(0.5, 0.8, 3000), rng.uniform(-math.pi, math.pi, 3000)):
        states = torsion_states(TORSION, wrapped(values), equal(3000))
        assert len(states.centres) == 1
        assert not states.assign(values).any()


def test_a_rare_state_is_kept_if_it_holds_enough():
    values = mixture(np.random.default_rng(3), [(0.99, math.pi, 0.2), (0.01, 0.0, 0.2)], 50_000)
    states = torsion_states(TORSION, values, equal(50_000))
    assert states.labels == ("syn", "anti")
    assert (states.assign(values) == 0).mean() == pytest.approx(0.01, abs=0.002)


def test_half_periods_have_half_the_circle():
    rng = np.random.default_rng(4)
    values = rng.normal(math.pi / 2, 0.2, 4000) + math.pi * rng.integers(0, 2, 4000)
    states = torsion_states(PHENYL, values, equal(4000))
    assert len(states.centres) == 1
    assert abs(states.centres[0]) == pytest.approx(math.pi / 2, abs=0.02)


def butane_samples(n, seed):
    """Butane's conformers with the central torsion turned to known values: positions and torsion."""
    molecule = Molecule.from_smiles("CCCC")
    seeds = molecule.seed_conformers(10, seed=1)
    rng = np.random.default_rng(seed)
    positions = seeds[rng.integers(0, len(seeds), n)] + rng.normal(0, 0.003, (n, molecule.n_atoms, 3))
    return molecule, positions


def test_populations_and_errors_of_a_table():
    molecule, positions = butane_samples(2000, seed=5)
    rng = np.random.default_rng(6)
    weights = rng.exponential(size=2000)
    energies = rng.normal(size=2000)
    table = found_conformers(molecule, positions, energies, weights)
    populations = [conformer.population.value for conformer in table.conformers]
    assert sum(populations) == pytest.approx(1.0)
    assert populations == sorted(populations, reverse=True)
    w = weights / weights.sum()
    torsion = torsion_values(positions, conformer_torsions(molecule))[:, 0]
    for place, conformer in enumerate(table.conformers):
        inside = table.assignment == place
        mean = w[inside].sum()
        error = math.sqrt(np.sum(w**2 * (inside - mean) ** 2))
        assert conformer.population == pytest.approx((mean, error))
        assert np.abs(wrapped(torsion[inside] - conformer.torsions[0])).max() < 0.7
        assert energies[conformer.representative] == energies[inside].min()
    assert {conformer.label for conformer in table.conformers} >= {"anti"}


def test_samples_without_weight_are_assigned_but_not_listed():
    molecule, positions = butane_samples(600, seed=7)
    states = find_states(molecule, positions, equal(600))
    chosen = conformer_states(states, positions)[:, 0] == 0
    table = conformer_table(states, positions, np.where(chosen, 1.0, 0.0), np.where(chosen, 0.0, -1e9))
    assert len(table.conformers) == 1
    assert chosen[table.conformers[0].representative]
    with pytest.raises(InputError):
        conformer_table(states, positions, np.zeros(600), np.zeros(600))


def test_a_molecule_without_torsions_is_one_conformer():
    molecule = Molecule.from_smiles("C")
    positions = np.repeat(molecule.seed_conformers(1), 50, axis=0)
    table = found_conformers(molecule, positions, np.zeros(50))
    assert len(table.conformers) == 1
    assert table.conformers[0].population.value == pytest.approx(1.0)
