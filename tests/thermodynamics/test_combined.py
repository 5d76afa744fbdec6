"""Samples of a model and frames together: two Gaussian wells in closed form, one of which the model drops."""

import contextlib
import math

import numpy as np
import pytest

from boltzgen.errors import NotConvergedError
from boltzgen.thermodynamics.combined import combined

LOG_Z, SHARE, APART = 2.5, 0.3, 10.0  # of exp(−u); of the second well; between the wells


def log_target(x):
    wells = [math.log(1 - SHARE) - 0.5 * x**2, math.log(SHARE) - 0.5 * (x - APART) ** 2]
    return LOG_Z + np.logaddexp(*wells) - 0.5 * math.log(2 * math.pi)


def log_model(x, width=1.3):
    """The first well alone."""
    return -0.5 * (x / width) ** 2 - 0.5 * math.log(2 * math.pi * width**2)


def data(random, n=20_000, ladders=40, each=50):
    samples = random.normal(0.0, 1.3, n)
    frames = random.normal(size=(ladders, each)) + APART * (random.random((ladders, each)) < SHARE)
    return samples, frames


def test_weights_have_the_mean_z_and_the_wells_their_shares():
    samples, frames = data(np.random.default_rng(0))
    found = combined(log_target(samples) - log_model(samples), log_target(frames) - log_model(frames))
    assert abs(-found.f.value - LOG_Z) < 3.5 * found.f.stderr
    assert found.f.stderr < 0.03
    x = np.concatenate([samples, frames.ravel()])
    weights = np.exp(np.concatenate([found.samples, found.frames.ravel()]))
    assert math.log(weights.mean()) == pytest.approx(-found.f.value, abs=1e-4)
    second = weights[x > APART / 2].sum() / weights.sum()
    assert second == pytest.approx(SHARE, abs=4 * math.sqrt(SHARE * (1 - SHARE) / frames.size))
    # By the model alone the second well is missing, and ln Z is that of the first.
    alone = np.exp(log_target(samples) - log_model(samples)).mean()
    assert math.log(alone) == pytest.approx(LOG_Z + math.log(1 - SHARE), abs=0.03)
    # No weight exceeds Z over the share of the frames.
    assert weights.max() <= math.exp(-found.f.value) * len(x) / frames.size * (1 + 1e-9)


def test_the_error_is_the_spread_over_repeats():
    random = np.random.default_rng(1)
    repeats = []
    for seed in range(30):
        samples, frames = data(random, n=2000, ladders=20, each=20)
        found = combined(
            log_target(samples) - log_model(samples), log_target(frames) - log_model(frames), seed
        )
        repeats.append((-found.f.value - LOG_Z) / found.f.stderr)
    assert 0.6 < np.std(repeats) < 1.5
    assert abs(np.mean(repeats)) < 0.6


def test_overlap_is_one_for_equal_distributions_and_none_is_told():
    random = np.random.default_rng(2)
    equal = combined(np.full(1000, LOG_Z), np.full((10, 50), LOG_Z))
    assert equal.overlap == pytest.approx(1.0)
    assert equal.f.value == pytest.approx(-LOG_Z)
    far = random.normal(-500.0, 5.0, 1000), random.normal(500.0, 5.0, (10, 50))
    with contextlib.suppress(NotConvergedError):
        assert combined(*far).overlap < 1e-6
