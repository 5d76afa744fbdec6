"""What training tells while it runs, and when it has ended."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Progress:
    """What a person watching wants to know. ESS share and reverse KL (nats) are over the last batches.

    The worst hundredth of the samples is left out of the KL.
    """

    stage: str
    fraction: float
    seconds_left: float
    step: int
    loss: float
    ess_fraction: float | None
    reverse_kl: float | None


@dataclass
class TrainingResult:
    """What happened.

    Attributes
    ----------
    steps, seconds
        Of the whole training, those before a resumption included.
    n_dropped
        Samples that did not train.
    n_bad_steps
        Steps whose gradient was not finite: they changed nothing.
    n_divergences
        How often the training diverged and went back to its best state.
    plateau
        Whether it ended early because nothing gained any more.
    pays_no_more
        Why it ended early because more training would have cost more time than it saved; else empty.
    gave_way
        Whether it ended early because replica exchange makes more of the time that is left.
    processes
        The most that shared a step, each with a batch of its own.
    history
        Seconds, step, ESS share and reverse KL of the last batches, every ``WINDOW_BATCHES`` steps.
    """

    steps: int = 0
    seconds: float = 0.0
    n_dropped: int = 0
    n_bad_steps: int = 0
    n_divergences: int = 0
    plateau: bool = False
    pays_no_more: str = ""
    gave_way: bool = False
    processes: int = 1
    history: list[tuple[float, int, float, float]] = field(default_factory=list)
