"""What a comparison of models is expected to show, held against its figures: true, false, or not decided.

Two figures differ where they are more than two standard errors of their difference apart. A claim that fails
is a finding and is reported as one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from boltzgen.evaluation.comparison import Comparison
from boltzgen.evaluation.discrepancy import Discrepancy
from boltzgen.evaluation.results import ModelResult

ERRORS_APART = 2.0
BEST = ("ks_worst_torsion", "ks_energy", "w2_torsions_rad", "w2_distances_nm")
CRITIC_TOLERANCE = 0.2
CRITIC = "critic_wasserstein_1"
TRUTH = "w1_features"
ONE_LIPSCHITZ = "wgan-gp"  # a critic of clipped weights has an unknown slope: its figure estimates nothing


@dataclass(frozen=True)
class Claim:
    """A statement, whether it holds (None: these figures do not decide), and the numbers that say so."""

    statement: str
    holds: bool | None
    evidence: str


def claims(results: Sequence[ModelResult]) -> list[Claim]:
    """All claims about the models that there are."""
    there = {result.label: result for result in results if result.generated is not None}
    found = [_better_than_untrained(result) for result in there.values() if result.untrained is not None]
    found += [_best(name, list(there.values())) for name in ("flow", "flow-likelihood") if name in there]
    if "flow" in there and "vae-energy" in there:
        found.append(_same_log_z(there["vae-energy"], there["flow"]))
    found += [_critic_is_right(result) for result in there.values() if result.family == ONE_LIPSCHITZ]
    few = [result for result in there.values() if result.family == "vae" and result.label != "vae"]
    adversarial = [result for result in there.values() if result.family == "domain-adversarial"]
    found += [_beats(one, few[0]) for one in adversarial[:1] if few]
    return found


def above(a: Discrepancy, b: Discrepancy) -> bool:
    """Whether ``a`` is larger than ``b`` by more than their errors."""
    if math.isinf(a.value) or math.isinf(b.value):
        return a.value > b.value
    return a.value - b.value > ERRORS_APART * math.hypot(a.stderr, b.stderr)


def _better_than_untrained(result: ModelResult) -> Claim:
    """On every figure in which the untrained model is told from the reference at all."""
    trained, untrained = _figures(result.generated), _figures(result.untrained)
    judged = [name for name, figure in untrained.items() if figure.excess > ERRORS_APART]
    worse = [name for name in judged if not above(untrained[name], trained[name])]
    evidence = f"better in {len(judged) - len(worse)} of {len(judged)} figures"
    if worse:
        values = (
            f"{name} {trained[name].value:.3g}, untrained {untrained[name].value:.3g}" for name in worse
        )
        evidence += f"; not in {'; '.join(values)}"
    return Claim(
        f"{result.label} is better than before its training in every figure",
        not worse if judged else None,
        evidence,
    )


def _best(label: str, results: Sequence[ModelResult]) -> Claim:
    """No other model is below ``label`` in any of the figures by more than the errors."""
    ours = _figures(next(r.generated for r in results if r.label == label))
    beaten = []
    for result in results:
        theirs = _figures(result.generated)
        beaten += [
            f"{name} {ours[name].value:.3g}, {result.label} {theirs[name].value:.3g}"
            for name in BEST
            if name in ours and result.label not in ("flow", "flow-likelihood")
            and above(ours[name], theirs[name])
        ]  # fmt: skip
    values = ", ".join(
        f"{name} {ours[name].value:.3g} (null {ours[name].null:.3g})" for name in BEST if name in ours
    )
    return Claim(
        f"no model but a flow is closer to the reference than {label} in W₂ and Kolmogorov–Smirnov",
        None if len(results) == 1 else not beaten,
        "; ".join(beaten) or values,
    )


def _same_log_z(result: ModelResult, other: ModelResult) -> Claim:
    statement = f"{result.label} and {other.label} agree on log Z within two standard errors"
    if result.weights is None or other.weights is None:
        return Claim(statement, None, "one of them has no weights")
    ours, theirs = result.weights.log_z, other.weights.log_z
    if ours is None or theirs is None:
        return Claim(statement, None, "one of them has no log Z")
    apart = abs(ours.value - theirs.value)
    return Claim(
        statement,
        apart <= ERRORS_APART * math.hypot(ours.stderr, theirs.stderr),
        f"{ours.value:.3f} ± {ours.stderr:.3f} and {theirs.value:.3f} ± {theirs.stderr:.3f}",
    )


def _critic_is_right(result: ModelResult) -> Claim:
    """The exact distance is that of two finite sets: its null is what it is where nothing differs."""
    exact, estimate = _figures(result.generated)[TRUTH], result.figures[CRITIC]
    return Claim(
        f"the W₁ stated by the critic of {result.label} is within {CRITIC_TOLERANCE:.0%} of the exact one",
        abs(estimate - exact.value) <= CRITIC_TOLERANCE * exact.value,
        f"{estimate:.3f} by the critic, {exact.value:.3f} by optimal transport between finite sets"
        f" ({exact.null:.3f} between halves of the reference)",
    )


def _beats(result: ModelResult, other: ModelResult) -> Claim:
    """By more than the errors in some figure, and in none the other way round."""
    ours, theirs = _figures(result.generated), _figures(other.generated)
    names = [name for name in BEST if name in ours]
    lost = any(above(ours[name], theirs[name]) for name in names)
    won = any(above(theirs[name], ours[name]) for name in names)
    return Claim(
        f"{result.label} is closer to the reference than {other.label} in W₂ and Kolmogorov–Smirnov",
        False if lost else won or None,
        ", ".join(f"{name} {ours[name].value:.3g} and {theirs[name].value:.3g}" for name in names),
    )


def _figures(one: Comparison | None) -> dict[str, Discrepancy]:
    return {} if one is None else one.figures
