"""The training loop: one for every objective."""

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from boltzgen.errors import EvaluationError, InputError
from boltzgen.sampling.importance import effective_sample_size
from boltzgen.training.config import TrainingConfig

WINDOW_BATCHES = 16
MAX_BAD_STEPS = 50
COOL_DOWN = 0.15
PLATEAU_WINDOWS = 25
PLATEAU_RELATIVE_FALL = 0.01


@dataclass(frozen=True)
class Loss:
    """A batch's loss and, where the objective has them, its log weights towards the target [batch]."""

    value: Tensor
    log_weights: Tensor | None = None
    n_dropped: int = 0


@dataclass(frozen=True)
class Stage:
    """A share of the budget spent on one objective; ``loss`` is given the progress through it, 0 to 1.

    betas: memories of Adam's moments.
    """

    name: str
    share: float
    learning_rate: float
    loss: Callable[[float], Loss]
    steady_from: float = (
        0.0  # progress from which the objective no longer changes, so that a plateau can end it
    )
    betas: tuple[float, float] = (0.9, 0.99)


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
    """What happened: history of (seconds, step, ESS share, reverse KL), and the counts."""

    steps: int = 0
    seconds: float = 0.0
    n_dropped: int = 0
    n_bad_steps: int = 0
    plateau: bool = False
    history: list[tuple[float, int, float, float]] = field(default_factory=list)


class WeightAverage:
    """Exponential average of the parameters whose memory is a fixed share of the steps so far."""

    def __init__(self, model: nn.Module, share: float) -> None:
        self.share, self.steps = share, 0
        self.averages = {name: p.detach().clone() for name, p in model.named_parameters()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        self.steps += 1
        rate = 1.0 / (1.0 + self.share * self.steps)
        names, current = zip(*model.named_parameters(), strict=True)
        torch._foreach_lerp_([self.averages[name] for name in names], list(current), rate)

    @torch.no_grad()
    def copy_to(self, model: nn.Module) -> None:
        for name, parameter in model.named_parameters():
            parameter.copy_(self.averages[name])


class _Clock:
    """Fraction of the budget used: by wall time, or by steps where a number of steps is fixed."""

    def __init__(self, config: TrainingConfig) -> None:
        self.start = time.monotonic()
        if config.max_steps is None and config.budget_seconds is None:
            raise InputError("Training needs an end; give budget_seconds or max_steps.")
        self.total = float(config.max_steps or config.budget_seconds or 0.0)
        self.by_steps = config.max_steps is not None

    def used(self, step: int) -> float:
        spent = step if self.by_steps else time.monotonic() - self.start
        return min(spent / self.total, 1.0)

    def seconds_left(self, step: int) -> float:
        elapsed, used = time.monotonic() - self.start, self.used(step)
        return elapsed * (1.0 - used) / max(used, 1e-9) if self.by_steps else self.total - elapsed

    def shorten(self, used: float, remaining: float) -> None:
        """Make ``remaining`` of the original budget the rest of it, counted from the fraction ``used``."""
        self.total = self.total * min(1.0, used + remaining)


class _Plateau:
    """Tells, once, that neither the ESS share rises nor the reverse KL falls any more."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, float]] = []
        self.told = False

    def reached(self, ess_fraction: float, divergence: float) -> bool:
        self.seen.append((ess_fraction, divergence))
        if self.told or len(self.seen) < 2 * PLATEAU_WINDOWS:
            return False
        recent = torch.tensor(self.seen[-PLATEAU_WINDOWS:]).mean(0)
        before = torch.tensor(self.seen[-2 * PLATEAU_WINDOWS : -PLATEAU_WINDOWS]).mean(0)
        rises = recent[0] > before[0] * (1.0 + PLATEAU_RELATIVE_FALL)
        falls = recent[1] < before[1] * (1.0 - PLATEAU_RELATIVE_FALL)
        self.told = not bool(rises or falls)
        return self.told


def _learning_rate_factor(progress: float, steps: int) -> float:
    """Cosine decay over the stage after a short linear rise."""
    return min(1.0, (steps + 1) / 20) * (0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * progress)))


def _window_summary(window: Sequence[Tensor]) -> tuple[float, float]:
    """ESS share of all samples, and the reverse KL of all but the worst hundredth, where clashes are."""
    log_weights = torch.cat(list(window)).double()
    n = len(log_weights)
    log_weights = log_weights[torch.isfinite(log_weights)]
    if not len(log_weights):
        return 0.0, math.inf
    log_z = float(torch.logsumexp(log_weights, 0)) - math.log(n)
    usual = log_weights.sort().values[max(0, math.ceil(0.01 * n) - (n - len(log_weights))) :]
    return effective_sample_size(log_weights) / n, log_z - float(usual.mean())


def train(
    model: nn.Module,
    stages: Sequence[Stage],
    config: TrainingConfig,
    report: Callable[[Progress], None] = lambda progress: None,
) -> TrainingResult:
    """Run ``stages`` one after the other within the budget; leaves the averaged parameters in ``model``.

    A step whose gradient is not finite changes nothing and is counted. Raises ``EvaluationError`` after
    50 such steps in a row.
    """
    result = TrainingResult()
    if not any(parameter.requires_grad for parameter in model.parameters()):
        return result  # a single atom: nothing to learn
    clock = _Clock(config)
    stage_start = 0.0
    total_share = sum(stage.share for stage in stages)
    for stage in stages:
        stage_end = stage_start + stage.share / total_share
        _run_stage(model, stage, stage_start, stage_end, clock, config, result, report)
        stage_start = stage_end
    result.seconds = time.monotonic() - clock.start
    return result


def _run_stage(
    model: nn.Module,
    stage: Stage,
    start: float,
    end: float,
    clock: _Clock,
    config: TrainingConfig,
    result: TrainingResult,
    report: Callable[[Progress], None],
) -> None:
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=stage.learning_rate, betas=stage.betas, fused=True)
    average = WeightAverage(model, config.averaging)
    window: deque[Tensor] = deque(maxlen=WINDOW_BATCHES)
    plateau = _Plateau()
    bad_in_a_row = 0
    while (used := clock.used(result.steps)) < end or not average.steps:
        progress = min((used - start) / (end - start), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = stage.learning_rate * _learning_rate_factor(progress, average.steps)
        loss = stage.loss(progress)
        optimizer.zero_grad(set_to_none=True)
        sound = bool(torch.isfinite(loss.value))
        if sound:
            loss.value.backward()
            sound = bool(torch.isfinite(nn.utils.clip_grad_norm_(parameters, config.gradient_norm)))
        result.steps += 1
        result.n_dropped += loss.n_dropped
        if sound:
            optimizer.step()
            average.update(model)
            bad_in_a_row = 0
        else:
            result.n_bad_steps += 1
            bad_in_a_row += 1
            if bad_in_a_row == MAX_BAD_STEPS:
                raise EvaluationError(
                    f"training diverged: {MAX_BAD_STEPS} gradients in a row were not finite in stage"
                    f" '{stage.name}'; lower the learning rate or raise the starting temperature"
                )
        if loss.log_weights is not None:
            window.append(loss.log_weights)
        if result.steps % WINDOW_BATCHES == 0:
            summary = _window_summary(window) if window else None
            seconds = time.monotonic() - clock.start
            if summary:
                result.history.append((seconds, result.steps, *summary))
                if progress > stage.steady_from and plateau.reached(*summary):
                    clock.shorten(used, COOL_DOWN * (end - start))
                    result.plateau = True
            report(
                Progress(
                    stage.name,
                    used,
                    clock.seconds_left(result.steps),
                    result.steps,
                    float(loss.value.detach()),
                    *(summary or (None, None)),
                )
            )
    average.copy_to(model)
