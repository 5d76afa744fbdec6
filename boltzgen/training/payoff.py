"""When to stop training: where more of it costs more time than it saves.

The wanted answer is a number of effective samples. A model of which the share e of the samples is effective,
and which draws and weighs a sample in s seconds, needs T = n s / e seconds for n effective ones. Training
makes T smaller at the cost of its own time t. Training stops at the first assessment where t has reached the
least T seen so far. Whatever the course of T, t + T is then at most twice the least value that any stopping
time could have reached, provided that T never rises again (the argument of the ski-rental problem: Karlin et
al., Algorithmica 3, 79 (1988)). Where the recent trend says that more training saves more than it costs, it
goes on. A model that does not get there leaves the last part of the time to another source of samples, if
there is one that makes more of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from time import monotonic
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from boltzgen.sampling.importance import MAX_PARETO_K, effective_sample_size, pareto_k

MOST_LOG_GROWTH = 100.0  # ln of a number of samples that nobody draws
LEAST_EFFECTIVE = 20.0  # effective samples in an assessment, below which its share is mostly chance
LEAST_SAMPLES, MOST_SAMPLES = 2048, 16_384  # of an assessment
SHARE_OF_TIME = 0.1  # of the training time so far, that one assessment may take
GROWTH = 1.3  # of the training time from one assessment to the next
FIRST = 1.0  # seconds of training before the second assessment
SHORT = 0.5  # seconds of drawing that nobody would train to shorten
TREND = 3  # assessments, including the last, that the trend is taken from
LEAST_GAIN = 2.0  # seconds saved for a second of training, for training to go on by the trend
GIVES_WAY_AT = 0.7  # of the time, from which on a model that has come to nothing gives way
LEAST_ALTERNATIVE = 200.0  # effective samples to expect of what it gives way to


@dataclass(frozen=True)
class Assessment:
    """What fresh samples of a state of the model say of it.

    Attributes
    ----------
    training_seconds : float
        Training time until this state.
    share : float
        Kish's effective share of the samples.
    pareto_k : float
        Tail shape of their weights.
    seconds_each : float
        Time to draw and weigh one sample.
    n_samples : int
        Samples that were drawn.
    """

    training_seconds: float
    share: float
    pareto_k: float
    seconds_each: float
    n_samples: int

    @property
    def reliable(self) -> bool:
        """Whether the share can be relied on: the tail is light and enough samples are effective."""
        return self.pareto_k <= MAX_PARETO_K and self.share * self.n_samples >= LEAST_EFFECTIVE

    def seconds_to(self, n_effective: float) -> float:
        """Seconds of drawing and weighing for ``n_effective`` effective samples.

        Weights of Pareto-k above 1/2 have no variance: the sum of squares of N of them grows as N^2k, and
        the effective ones only as N^(2 − 2k), from the share of those that were drawn.
        """
        if self.share == 0.0 or self.pareto_k >= 1.0:
            return math.inf
        log_growth = math.log(n_effective / (self.share * self.n_samples))
        if log_growth > 0.0 and self.pareto_k > 0.5:
            log_growth *= 0.5 / (1.0 - self.pareto_k)
        growth = math.exp(log_growth) if log_growth < MOST_LOG_GROWTH else math.inf
        return growth * self.n_samples * self.seconds_each


def assess(
    draw: Callable[[int], Float[Tensor, " samples"]], n_samples: int, training_seconds: float
) -> Assessment:
    """Assess a state of a model by the log weights that ``draw`` gives of fresh samples of it.

    Parameters
    ----------
    draw
        Gives the log weights of so many fresh samples.
    n_samples
        How many to draw.
    training_seconds
        Training time until this state.
    """
    began = monotonic()
    log_weights = draw(n_samples)
    seconds_each = (monotonic() - began) / n_samples
    if not bool(torch.isfinite(log_weights).any()):
        return Assessment(training_seconds, 0.0, math.inf, seconds_each, n_samples)
    share = effective_sample_size(log_weights) / n_samples
    return Assessment(training_seconds, share, pareto_k(log_weights), seconds_each, n_samples)


@dataclass
class PayOff:
    """Decides, assessment by assessment, whether training still pays.

    Attributes
    ----------
    n_effective : float
        Effective samples that are wanted.
    draw : callable
        Gives the log weights of so many fresh samples of the model as it stands.
    most_seconds : float
        Time for training and drawing together: a state that needs more is not good enough to stop at.
    alternative : float
        Effective samples a second of another source, to which a poor model gives way; zero where there is
        none.
    assessments : list of Assessment
        All that were made, in the order of time.
    reason : str
        Why training stopped, in words; empty as long as it goes on.
    gave_way : bool
        Whether it stopped for the other source.
    """

    n_effective: float
    draw: Callable[[int], Float[Tensor, " samples"]]
    most_seconds: float = math.inf
    alternative: float = 0.0
    assessments: list[Assessment] = field(default_factory=list)
    reason: str = ""
    gave_way: bool = False

    def due(self, training_seconds: float) -> bool:
        """Whether another assessment is due: at once, then at ever longer intervals, and once late."""
        if not self.assessments:
            return True
        last, late = self.assessments[-1].training_seconds, GIVES_WAY_AT * self.most_seconds
        reached = self.alternative > 0.0 and last < late <= training_seconds
        return reached or training_seconds >= max(FIRST, GROWTH * last)

    def n_samples(self, training_seconds: float) -> int:
        """Samples for an assessment now, so that it takes a small share of the training time so far."""
        if not self.assessments:
            return LEAST_SAMPLES
        affordable = SHARE_OF_TIME * training_seconds / self.assessments[-1].seconds_each
        return int(min(max(affordable, LEAST_SAMPLES), MOST_SAMPLES))

    def stops_at(self, training_seconds: float) -> bool:
        """Assess the model as it stands; whether training should stop at this state."""
        return self.stops(assess(self.draw, self.n_samples(training_seconds), training_seconds))

    def stops(self, assessment: Assessment) -> bool:
        """Take note of ``assessment``; whether training should stop at this state."""
        self.assessments.append(assessment)
        remaining = assessment.seconds_to(self.n_effective)
        if not assessment.reliable or assessment.training_seconds + remaining > self.most_seconds:
            return self._gives_way()
        if remaining > max(assessment.training_seconds, SHORT) or self._gains(remaining):
            return False
        self.reason = (
            f"{assessment.share:.1%} of the samples are effective: {self.n_effective:.0f} effective ones take"
            f" {remaining:.1f} s, no longer than training has taken"
        )
        return True

    def _gives_way(self) -> bool:
        """Whether the other source makes more in the rest of the time than the model would by its trend.

        The model is given half of the rest to train and half to draw.
        """
        last = self.assessments[-1]
        rest = self.most_seconds - last.training_seconds
        expected = self.alternative * max(rest, 0.0)
        late = last.training_seconds >= GIVES_WAY_AT * self.most_seconds
        if not late or expected < LEAST_ALTERNATIVE:
            return False
        own = 0.5 * rest / self._seconds_each_after(0.5 * rest)
        if own >= expected:
            return False
        self.gave_way = True
        self.reason = (
            f"the model would make {own:.0f} effective samples in the rest of the time, replica exchange"
            f" {expected:.0f}"
        )
        return True

    def _seconds_each_after(self, seconds: float) -> float:
        """Seconds for an effective sample after so much more training: the trend of their logarithm."""
        recent = [a for a in self.assessments[-TREND:] if a.reliable]
        if not recent or recent[-1] is not self.assessments[-1]:
            return math.inf
        first, last = recent[0].seconds_to(self.n_effective), recent[-1].seconds_to(self.n_effective)
        elapsed = recent[-1].training_seconds - recent[0].training_seconds
        slope = (math.log(last) - math.log(first)) / elapsed if elapsed > 0 else 0.0
        return last * math.exp(min(slope, 0.0) * seconds) / self.n_effective

    def _gains(self, remaining: float) -> bool:
        """Whether by the trend of the last assessments a second of training saves ``LEAST_GAIN`` seconds."""
        recent = [a for a in self.assessments[-TREND:] if a.reliable]
        if len(recent) < TREND:
            return False
        first, last = recent[0], recent[-1]
        elapsed = last.training_seconds - first.training_seconds
        saved = first.seconds_to(self.n_effective) - remaining
        return elapsed > 0 and saved / elapsed >= LEAST_GAIN

    def state_dict(self) -> dict[str, Any]:
        """The assessments as numbers, for a checkpoint."""
        return {"assessments": [asdict(assessment) for assessment in self.assessments]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state_dict`` returned."""
        self.assessments = [Assessment(**assessment) for assessment in state["assessments"]]
