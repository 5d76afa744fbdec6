"""Quality of replica-exchange frames against series of known correlation time."""

import numpy as np
import pytest

from boltzgen.evaluation.ladders import enough_for_conformers, gelman_rubin, ladder_quality, unseen_share
from boltzgen.molecules.molecule import Molecule
from boltzgen.molecules.torsions import conformer_torsions, torsion_values

N_FRAMES, N_LADDERS = 2000, 32


def hopping_butane(rng, switch):
    """Frames that redraw their conformer with probability ``switch`` a step: [frames, ladders, atoms, 3]."""
    molecule = Molecule.from_smiles("CCCC")
    seeds = molecule.seed_conformers(20, seed=1)
    torsion = torsion_values(seeds, conformer_torsions(molecule))[:, 0]
    pair = np.stack([seeds[np.argmax(np.cos(torsion))], seeds[np.argmin(np.cos(torsion))]])
    state = rng.integers(0, 2, (N_FRAMES, N_LADDERS))
    keep = rng.random((N_FRAMES, N_LADDERS)) > switch
    for frame in range(1, N_FRAMES):
        state[frame] = np.where(keep[frame], state[frame - 1], state[frame])
    return molecule, pair[state]


def test_the_slow_torsion_counts_not_the_fast_energy():
    """Redrawing with probability s gives an autocorrelation (1 − s)^t: n s / (2 − s) independent frames."""
    rng = np.random.default_rng(0)
    molecule, positions = hopping_butane(rng, switch=0.05)
    quality = ladder_quality(molecule, positions, rng.normal(size=(N_FRAMES, N_LADDERS)))
    exact = N_FRAMES * N_LADDERS * 0.05 / 1.95
    assert quality.effective_sample_size == pytest.approx(exact, rel=0.6)
    assert "C1–C2–C3–C4" in quality.slowest
    assert abs(quality.drift) < 4


def test_a_drift_of_the_energy_is_found():
    rng = np.random.default_rng(1)
    molecule, positions = hopping_butane(rng, switch=0.5)
    energies = rng.normal(size=(N_FRAMES, N_LADDERS)) + np.linspace(0, 1, N_FRAMES)[:, None]
    quality = ladder_quality(molecule, positions, energies)
    assert quality.most_drifting == "energy"
    assert abs(quality.drift) > 10


def test_a_molecule_without_torsions_is_judged_by_its_energy():
    molecule = Molecule.from_smiles("C")
    positions = np.broadcast_to(molecule.seed_conformers(1)[0], (300, 8, 5, 3))
    quality = ladder_quality(molecule, positions, np.random.default_rng(2).normal(size=(300, 8)))
    assert quality.slowest == "energy"


def test_ladders_that_hop_often_are_enough_and_ladders_that_stay_are_not():
    rng = np.random.default_rng(3)
    energies = rng.normal(size=(N_FRAMES, N_LADDERS))
    molecule, fast = hopping_butane(rng, switch=0.05)
    assert enough_for_conformers(molecule, fast[:1000], energies[:1000])
    assert not enough_for_conformers(molecule, fast[:30], energies[:30])  # 0.8 independent frames a ladder
    molecule, slow = hopping_butane(rng, switch=1e-4)
    assert not enough_for_conformers(molecule, slow, energies)


def test_a_conformer_that_one_ladder_alone_shows_has_not_been_seen_by_the_others():
    rng = np.random.default_rng(4)
    molecule, positions = hopping_butane(rng, switch=1.0)
    positions = positions[:400]
    torsion = torsion_values(molecule.seed_conformers(20, seed=1), conformer_torsions(molecule))[:, 0]
    anti = molecule.seed_conformers(20, seed=1)[np.argmin(np.cos(torsion))]
    only_anti = np.broadcast_to(anti, positions.shape).copy()
    only_anti[:200, 5] = positions[:200, 5]
    gauche = np.abs(only_anti - anti).max(axis=(2, 3)) > 1e-6
    assert unseen_share(molecule, only_anti) == pytest.approx(gauche.mean(), rel=1e-9)
    assert unseen_share(molecule, positions) == 0.0
    assert not enough_for_conformers(molecule, only_anti[:200], rng.normal(size=(200, N_LADDERS)))


def test_r_hat_of_ladders_that_differ_is_that_of_their_variances():
    """Means of ladders of standard deviation s about noise of unit variance: R̂ → √(1 + s²)."""
    rng = np.random.default_rng(5)
    noise = rng.normal(size=(4000, 200))
    assert gelman_rubin(noise) == pytest.approx(1.0, abs=2e-3)
    for spread in (0.3, 1.0, 3.0):
        found = gelman_rubin(noise + spread * rng.normal(size=200))
        assert found == pytest.approx(np.sqrt(1 + spread**2), rel=0.1)
    assert gelman_rubin(np.zeros((10, 4))) == 1.0
    assert gelman_rubin(np.ones((10, 1)) * np.arange(4.0)) == np.inf
