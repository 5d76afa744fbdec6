"""When training stops paying: against the best stopping time of known courses, found by a scan."""

import math

import numpy as np
import pytest
import torch

from boltzgen.training.payoff import GROWTH, Assessment, PayOff, assess

SECONDS_EACH = 1e-5


def no_draw(n):
    raise AssertionError("assessments are given here")


def share_after(seconds, start, end, time):
    """An effective share that grows from ``start`` to ``end`` with the time constant ``time``."""
    return math.exp(math.log(end) + (math.log(start) - math.log(end)) * math.exp(-seconds / time))


def stopped(pay_off, course, last=1e4):
    """Training seconds at the stop, looking every 0.1 s."""
    for seconds in np.arange(0.0, last, 0.1):
        if pay_off.due(seconds) and pay_off.stops(
            Assessment(seconds, course(seconds), 0.5, SECONDS_EACH, 10_000)
        ):
            return seconds
    return math.inf


@pytest.mark.parametrize("start", [0.3, 0.05, 0.004])
@pytest.mark.parametrize("time", [3.0, 30.0, 300.0])
@pytest.mark.parametrize("n_effective", [1e3, 1e4, 1e6])
def test_training_and_drawing_take_at_most_twice_the_best_time(start, time, n_effective):
    def course(seconds):
        return share_after(seconds, start, 0.8, time)

    seconds = stopped(PayOff(n_effective, no_draw), course)
    total = seconds + n_effective * SECONDS_EACH / course(seconds)
    grid = np.linspace(0.0, 2000.0, 20_001)
    best = min(t + n_effective * SECONDS_EACH / course(t) for t in grid)
    # Assessments are a factor GROWTH apart, and at least a second.
    assert total <= 2.0 * GROWTH * best + 1.5


def test_a_share_that_training_does_not_raise_ends_it_when_drawing_takes_as_long():
    pay_off = PayOff(1e4, no_draw)
    seconds = stopped(pay_off, lambda seconds: 0.02)
    assert 5.0 <= seconds <= 5.0 * GROWTH
    assert "2.0%" in pay_off.reason


def test_the_trend_keeps_training_that_saves_more_than_it_costs():
    def course(seconds):  # nothing for nine seconds, then a steep rise
        return 0.01 * (1.0 if seconds < 9.0 else 1.0 + (seconds - 9.0) ** 2)

    assert stopped(PayOff(1e4, no_draw), course) > 9.0


@pytest.mark.parametrize(
    "assessment",
    [
        Assessment(100.0, 0.5, 0.9, SECONDS_EACH, 10_000),  # a heavy tail
        Assessment(100.0, 0.001, 0.5, SECONDS_EACH, 10_000),  # ten effective samples may be chance
        Assessment(100.0, 0.0, math.inf, SECONDS_EACH, 10_000),
        Assessment(100.0, 0.5, 0.5, 1e-1, 10_000),  # more time for drawing than there is
    ],
)
def test_a_state_that_cannot_be_relied_on_ends_nothing(assessment):
    assert not PayOff(1e4, no_draw, most_seconds=60.0).stops(assessment)


def test_an_assessment_says_what_the_weights_say():
    generator = torch.Generator().manual_seed(0)

    def draw(n):
        return 0.5 * torch.randn(n, generator=generator, dtype=torch.float64)

    found = assess(draw, 20_000, 3.0)
    # Of log-normal weights with variance s² in the log the effective share is exp(−s²).
    assert found.share == pytest.approx(math.exp(-0.25), rel=0.03)
    assert found.pareto_k < 0.5
    assert found.seconds_to(10.0) == pytest.approx(10.0 * found.seconds_each / found.share)


def test_weights_that_are_all_zero_are_no_answer():
    found = assess(lambda n: torch.full((n,), -math.inf), 100, 1.0)
    assert not found.reliable
    assert found.seconds_to(1.0) == math.inf


def test_assessments_take_a_small_share_of_the_time():
    pay_off, seconds = PayOff(1e12, no_draw), 0.0
    spent = 0.0
    while seconds < 600.0:
        if pay_off.due(seconds):
            n = pay_off.n_samples(seconds)
            spent += n * 1e-4
            pay_off.stops(Assessment(seconds, 0.01, 0.5, 1e-4, n))
        seconds += 0.5
    assert spent < 0.1 * 600.0


def test_effective_samples_of_heavy_tails_grow_as_their_pareto_k_says():
    """Kish's size of N Pareto weights of shape k > 1/2 grows as N^(2 − 2k): by simulation."""
    k, few, many = 0.65, 2000, 64_000
    rng = np.random.default_rng(0)

    def size(n):
        w = rng.random((2000, n)) ** -k if n == few else rng.random((60, n)) ** -k
        return float(np.median(w.sum(1) ** 2 / (w**2).sum(1)))

    share, wanted = size(few) / few, size(many)
    assessment = Assessment(0.0, share, k, SECONDS_EACH, few)
    assert assessment.seconds_to(wanted) == pytest.approx(many * SECONDS_EACH, rel=0.35)
    assert Assessment(0.0, share, 0.4, SECONDS_EACH, few).seconds_to(wanted) < 0.65 * many * SECONDS_EACH
    assert Assessment(0.0, share, 1.1, SECONDS_EACH, few).seconds_to(wanted) == math.inf
    # just below one: more samples than a double can count
    assert Assessment(0.0, share, 0.9999, SECONDS_EACH, few).seconds_to(1e6 * wanted) == math.inf


def course_of(pay_off, shares, k=0.5):
    """Assessments every ten seconds; the seconds at which training stops, if it does."""
    for seconds, share in zip(range(10, 1000, 10), shares, strict=False):
        if pay_off.stops(Assessment(float(seconds), share, k, 1e-4, 10_000)):
            return seconds
    return None


def test_a_model_that_comes_to_nothing_gives_way_to_another_source_late():
    """100 s; a share of 0.003 makes 30 effective samples a second: a thousand in the last third."""
    poor = [0.003] * 10
    for alternative, stop in ((0.0, None), (5.0, None), (60.0, 70)):
        pay_off = PayOff(1e4, no_draw, 100.0, alternative)
        assert course_of(pay_off, poor) == stop
        assert pay_off.gave_way == (stop is not None)
    assert "replica exchange 1800" in pay_off.reason
    asked = PayOff(1e4, no_draw, 100.0, 60.0)
    asked.stops(Assessment(60.0, 0.003, 0.5, 1e-4, 10_000))
    assert not asked.due(69.0)
    assert asked.due(70.0)  # before the interval of 1.3 is over
    # One whose weights cannot be relied on makes nothing; too little else is no reason to stop.
    assert course_of(PayOff(1e4, no_draw, 100.0, 10.0), poor, k=0.9) == 70
    assert course_of(PayOff(1e4, no_draw, 100.0, 1.0), poor, k=0.9) is None


def test_a_model_that_gets_better_fast_does_not_give_way():
    rising = [0.0025 * 1.4**step for step in range(10)]
    assert course_of(PayOff(1e5, no_draw, 100.0, 60.0), rising) is None
