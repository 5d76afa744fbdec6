"""Two-sample tests: blind where nothing differs, sharp where something does; one catches copies."""

import math

import numpy as np
import pytest
from scipy import stats

from boltzgen.errors import InputError
from boltzgen.evaluation.discrepancy import BlockedDistance, Discrepancy
from boltzgen.evaluation.discriminator import balanced_accuracy
from boltzgen.evaluation.kernels import permutation_p_value, squared_mmd
from boltzgen.evaluation.marginals import ks_statistic
from boltzgen.evaluation.neighbours import copied_share


def gaussian(n, seed, shift=0.0, features=6):
    return np.random.default_rng(seed).normal(shift, 1.0, (n, features))


def test_a_discriminator_of_one_distribution_guesses():
    n = 1000
    assert abs(balanced_accuracy(gaussian(n, 0), gaussian(n, 1)) - 0.5) < 4 * math.sqrt(0.25 / (2 * n))


def test_a_discriminator_is_at_most_as_good_as_bayes():
    """Of N(0, I) and N(s, I) the best rule is right with probability Φ(|s|/2)."""
    shift = np.r_[1.6, np.zeros(5)]
    bayes = stats.norm.cdf(0.8)
    found = balanced_accuracy(gaussian(2000, 2), gaussian(2000, 3) + shift)
    assert bayes - 0.05 < found < bayes + 0.02


def test_a_discriminator_sees_what_no_marginal_shows():
    correlated = gaussian(1500, 4, features=2)
    correlated[:, 1] = 0.9 * correlated[:, 0] + math.sqrt(1 - 0.81) * correlated[:, 1]
    assert balanced_accuracy(correlated, gaussian(1500, 5, features=2)) > 0.65


def test_unbiased_mmd_is_about_zero_and_its_p_value_uniform():
    values = [squared_mmd(gaussian(200, 2 * i), gaussian(200, 2 * i + 1)) for i in range(30)]
    assert abs(np.mean(values)) < 4 * np.std(values, ddof=1) / math.sqrt(30)
    p = [permutation_p_value(gaussian(60, 2 * i), gaussian(60, 2 * i + 1), 99) for i in range(40)]
    assert stats.kstest(p, "uniform").pvalue > 1e-3
    assert permutation_p_value(gaussian(200, 0), gaussian(200, 1, shift=0.3)) < 0.01


def test_mmd_of_a_shift_is_that_of_the_kernel_integrals():
    """For N(0, 1) and N(s, 1): MMD² = 2c(1 − exp(−s²/(2h² + 4))), c = h/√(h² + 2)."""
    n = 1000
    x = stats.norm.ppf((np.arange(n) + 0.5) / n)[:, None]
    y = x + 1.0
    differences = np.abs(np.subtract.outer(*[np.concatenate([x, y])[:, 0]] * 2))
    h2 = float(np.median(differences[np.triu_indices(2 * n, 1)]) ** 2)
    exact = 2 * math.sqrt(h2 / (h2 + 2)) * (1 - math.exp(-1.0 / (2 * (h2 + 2))))
    assert squared_mmd(x, y) == pytest.approx(exact, rel=0.02)


def test_copies_of_training_frames_are_caught():
    training, test = gaussian(1000, 8), gaussian(1000, 9)
    copies = training[np.random.default_rng(10).integers(0, 1000, 800)] + gaussian(800, 11) * 0.01
    assert copied_share(copies, training, test).value > 0.99
    fresh = copied_share(gaussian(800, 12), training, test)
    assert abs(fresh.value - 0.5) < 4 * fresh.stderr
    with pytest.raises(InputError, match="not enough frames: 50"):
        copied_share(gaussian(50, 13), training, test)


def test_blocks_give_a_value_near_its_null_for_one_distribution_and_far_for_another():
    halves = gaussian(4000, 14)[:, 0], gaussian(4000, 15)[:, 0]
    distance = BlockedDistance(ks_statistic, halves, most=2000)
    same, other = distance(gaussian(3000, 16)[:, 0]), distance(gaussian(3000, 17, shift=0.3)[:, 0])
    assert abs(same.excess) < 5
    assert other.excess > 10
    assert other.value == pytest.approx(2 * stats.norm.cdf(0.15) - 1, abs=0.03)
    assert same.null == other.null


def test_values_of_few_samples_stand_beside_a_null_of_as_few():
    halves = gaussian(4000, 18)[:, 0], gaussian(4000, 19)[:, 0]
    distance = BlockedDistance(ks_statistic, halves, most=4000)
    few, many = distance(gaussian(250, 20)[:, 0]), distance(gaussian(4000, 21)[:, 0])
    assert few.null > 2 * many.null
    with pytest.raises(InputError, match="not enough frames: 199"):
        distance(np.zeros(199))


def test_an_infinite_distance_is_infinitely_above_its_null():
    assert Discrepancy(math.inf, math.nan, 0.1, 0.01).excess == math.inf
