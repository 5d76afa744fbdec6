"""Claims hold or fail with the figures that they are about."""

import math

import pytest

from boltzgen.evaluation.claims import above, claims
from boltzgen.evaluation.comparison import Comparison
from boltzgen.evaluation.discrepancy import Discrepancy
from boltzgen.evaluation.metrics import Coverage
from boltzgen.evaluation.results import ModelResult
from boltzgen.sampling.importance import Estimate, WeightStatistics

NAMES = ("ks_worst_torsion", "ks_energy", "w2_torsions_rad", "w2_distances_nm", "w1_features")


def compared(level, **others):
    figures = {name: Discrepancy(others.get(name, level), 0.01, 0.02, 0.005) for name in NAMES}
    return Comparison(1000, figures, {}, Coverage(3, 3, 1.0, ()), Estimate(0.001, 0.001), 0.5)


def result(label, level, untrained=1.0, family=None, log_z=None, figures=None, **others):
    weights = None if log_z is None else WeightStatistics(1000, 100.0, 100.0, 0.3, log_z)
    return ModelResult(
        label, family or label, "energy", "none", untrained=compared(untrained),
        generated=compared(level, **others), weights=weights, figures=figures or {},
    )  # fmt: skip


def verdicts(*results):
    return {claim.statement: claim.holds for claim in claims(results)}


def verdict_of(words, *results):
    (holds,) = [holds for statement, holds in verdicts(*results).items() if words in statement]
    return holds


def test_two_figures_differ_where_they_are_two_errors_apart():
    assert above(Discrepancy(0.5, 0.03, 0, 0), Discrepancy(0.4, 0.03, 0, 0))
    assert not above(Discrepancy(0.5, 0.04, 0, 0), Discrepancy(0.4, 0.04, 0, 0))
    assert above(Discrepancy(math.inf, math.nan, 0, 0), Discrepancy(0.4, 0.04, 0, 0))
    assert not above(Discrepancy(math.inf, math.nan, 0, 0), Discrepancy(math.inf, math.nan, 0, 0))


@pytest.mark.parametrize(
    ("level", "untrained", "holds"), [(0.1, 1.0, True), (1.0, 1.0, False), (0.02, 0.02, None)]
)
def test_better_than_untrained(level, untrained, holds):
    assert verdict_of("vae is better than before", result("vae", level, untrained)) is holds


def test_one_figure_that_did_not_improve_is_named():
    (claim,) = claims([result("vae", 0.1, ks_energy=1.1)])
    assert claim.holds is False
    assert "better in 4 of 5 figures; not in ks_energy 1.1, untrained 1" in claim.evidence


def test_a_flow_is_the_best_or_is_not():
    flow, other = result("flow", 0.1), result("vae", 0.3)
    assert verdict_of("than flow in", flow, other) is True
    assert verdict_of("than flow in", flow, result("vae", 0.3, w2_torsions_rad=0.01)) is False
    assert verdict_of("than flow in", flow, result("flow-likelihood", 0.01)) is True
    assert verdict_of("than flow in", flow) is None


def test_log_z_of_two_models():
    flow = result("flow", 0.1, log_z=Estimate(-10.0, 0.02))
    near, far = (result("vae-energy", 0.2, log_z=Estimate(z, 0.03)) for z in (-10.05, -10.2))
    assert verdict_of("log Z", flow, near) is True
    assert verdict_of("log Z", flow, far) is False
    assert verdict_of("log Z", flow, result("vae-energy", 0.2)) is None


def test_a_critic_within_a_fifth_of_the_exact_distance():
    for estimate, holds in ((0.41, True), (0.3, False), (0.7, False)):
        critic = result("wgan-gp", 0.5, figures={"critic_wasserstein_1": estimate})
        assert verdict_of("critic of wgan-gp", critic) is holds
    clipped = result("wgan", 0.5, figures={"critic_wasserstein_1": 0.5})
    assert not any("critic" in statement for statement in verdicts(clipped))


def test_few_frames_with_a_second_domain_against_few_frames():
    few = result("vae, 200 frames", 0.5, family="vae")
    assert verdict_of("domain-adversarial is closer", result("domain-adversarial", 0.2), few) is True
    assert verdict_of("domain-adversarial is closer", result("domain-adversarial", 0.9), few) is False
    assert verdict_of("domain-adversarial is closer", result("domain-adversarial", 0.5), few) is None
    one_worse = result("domain-adversarial", 0.2, ks_energy=0.8)
    assert verdict_of("domain-adversarial is closer", one_worse, few) is False


def test_a_failed_model_takes_part_in_no_claim():
    assert claims([ModelResult("flow", "flow", "energy", "none", failure="it diverged")]) == []
