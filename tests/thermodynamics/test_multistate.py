"""MBAR against harmonic oscillators of pymbar.testsystems and a harmonic ladder of closed form."""

import numpy as np
import pytest
from pymbar.testsystems import harmonic_oscillators
from scipy.integrate import trapezoid

from boltzgen.errors import InputError, NotConvergedError
from boltzgen.thermodynamics import quiet
from boltzgen.thermodynamics.estimators import BENNETT, WeightedData, estimates
from boltzgen.thermodynamics.multistate import multistate
from boltzgen.thermodynamics.overlap import bennett_overlap
from boltzgen.thermodynamics.temperature import temperature_curve
from boltzgen.units import thermal_energy


def oscillators(counts, seed):
    case = harmonic_oscillators.HarmonicOscillatorsTestCase(O_k=[0, 0.5, 1.0, 1.4], K_k=[1, 2, 3, 1.5])
    _, u_kn, n_k, _ = case.sample(counts, mode="u_kn", seed=seed)
    parts = np.split(u_kn, np.cumsum(n_k)[:-1], axis=1)
    sets = [part.reshape(len(u_kn), 20, -1) for part in parts if part.size]
    return sets, case.analytical_free_energies()


def test_oscillators_have_their_free_energies_and_one_without_samples_too():
    sets, exact = oscillators([1000, 1000, 1000, 0], seed=2)
    found = multistate(sets)
    assert found.f.shape == (4,)
    assert (found.stderr[1:] < 0.05).all()
    np.testing.assert_array_less(np.abs(found.f - (exact - exact[0]))[1:], 3 * found.stderr[1:])
    assert found.overlap.sum(axis=1) == pytest.approx(1.0, abs=1e-6)
    assert 0.1 < found.least_overlap < 1.0


def test_errors_of_oscillators_are_those_of_pymbar():
    sets, _ = oscillators([2000, 2000, 2000, 2000], seed=3)
    energies = np.concatenate([one.reshape(4, -1) for one in sets], axis=1)
    with quiet._quiet():
        whole = quiet.pymbar().MBAR(energies, np.full(4, 2000), solver_protocol=quiet.SOLVER)
        theirs = whole.compute_free_energy_differences()
    ours = multistate(sets)
    np.testing.assert_allclose(ours.f, theirs["Delta_f"][0], atol=1e-6)
    np.testing.assert_allclose(ours.stderr[1:], theirs["dDelta_f"][0, 1:], rtol=0.5)


def test_states_without_overlap_are_told_not_guessed():
    far = [np.zeros((2, 4, 5)), np.zeros((2, 4, 5))]
    far[0][1], far[1][0] = 3000.0, 3000.0
    with pytest.raises(NotConvergedError, match="too little in common"):
        multistate(far)


def test_a_block_alone_gives_no_error():
    with pytest.raises(InputError, match="two or more blocks"):
        multistate([np.zeros((2, 1, 9)), np.zeros((2, 1, 9))])


def harmonic_ladder(random, rungs, frames, ladders, freedom=12, offset=-250.0):
    """Energies of ``freedom`` classical oscillators: gamma distributed, ⟨U⟩ = offset + freedom kT/2."""
    kT = thermal_energy(1.0) * rungs
    return offset + kT * random.gamma(freedom / 2, size=(frames, ladders, len(rungs)))


def test_a_harmonic_ladder_has_its_closed_form():
    """ln Z = (f/2) ln T − U₀/kT + constant, ⟨U⟩ = U₀ + (f/2) kT, C = f k/2."""
    random = np.random.default_rng(4)
    rungs = 300.0 * 1.25 ** np.arange(5)
    wanted = np.array([290.0, 300.0, 400.0, 555.0])
    energies = harmonic_ladder(random, rungs, 60, 16)
    curve = temperature_curve(energies, rungs, wanted, anchor=300.0)
    kT, k = thermal_energy(1.0) * wanted, thermal_energy(1.0)
    exact = -(6 * np.log(wanted / 300.0) + 250.0 * (1 / kT - 1 / (k * 300)))
    assert curve.value("relative")[1] == pytest.approx(0.0, abs=1e-9)
    for name, truth in (("relative", exact), ("energy", -250.0 + 6 * kT), ("heat_capacity", 6 * k + 0 * kT)):
        error = curve.stderr(name)
        assert (np.abs(curve.value(name) - truth) <= 3.5 * error + 1e-9).all(), name
    assert curve.stderr("relative")[2] < 0.05


def test_temperatures_beyond_the_ladder_are_refused():
    energies = harmonic_ladder(np.random.default_rng(5), np.array([300.0, 330.0]), 20, 4, freedom=90)
    with pytest.raises(InputError, match="900 K is out of reach of a ladder from 300 to 330 K"):
        temperature_curve(energies, np.array([300.0, 330.0]), np.array([300.0, 900.0]), anchor=300.0)


def test_overlap_of_equal_ensembles_is_one_and_of_shifted_ones_their_integral():
    random = np.random.default_rng(6)
    work = 0.0 * random.normal(size=1000)
    assert bennett_overlap(work, work, 0.0) == pytest.approx(1.0)
    # N(0, 1) and N(2, 1): ∫ 2pq/(p + q) by quadrature.
    x, y = random.normal(size=200_000), random.normal(2.0, 1.0, 200_000)
    grid = np.linspace(-10, 12, 20_001)
    p, q = (np.exp(-0.5 * (grid - c) ** 2) / np.sqrt(2 * np.pi) for c in (0, 2))
    exact = trapezoid(2 * p * q / (p + q), grid)
    assert bennett_overlap(2 - 2 * x, 2 * y - 2, 0.0) == pytest.approx(exact, abs=0.005)


def test_pymbar_prints_nothing(capfd):
    random = np.random.default_rng(7)
    estimates(WeightedData.of(random.normal(size=200), random.normal(size=(4, 20))))[BENNETT]
    multistate([random.normal(size=(2, 4, 9)) for _ in range(2)])
    assert capfd.readouterr() == ("", "")
