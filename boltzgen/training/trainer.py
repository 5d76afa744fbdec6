"""The training loop: one for every objective."""

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from boltzgen.errors import EvaluationError, InputError
from boltzgen.objectives.objective import Loss
from boltzgen.sampling.importance import effective_sample_size
from boltzgen.training.checkpoint import Checkpoints
from boltzgen.training.config import TrainingConfig
from boltzgen.training.executors.choice import executor_for
from boltzgen.training.executors.executor import Executor
from boltzgen.training.stage import Stage

WINDOW_BATCHES = 16
MAX_BAD_STEPS = 50
COOL_DOWN = 0.15
PLATEAU_WINDOWS = 25
PLATEAU_RELATIVE_GAIN = 0.01
PLATEAU_NATS = 0.002


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
    """What happened: history of (seconds, step, ESS share, reverse KL), and the counts.

    processes: the most that shared a step, each with a batch of its own.
    """

    steps: int = 0
    seconds: float = 0.0
    n_dropped: int = 0
    n_bad_steps: int = 0
    plateau: bool = False
    processes: int = 1
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


@dataclass(frozen=True)
class Reserve:
    """Seconds that training leaves unused where its ESS share at half-time is below ``ess_fraction``."""

    seconds: float
    ess_fraction: float


class _Clock:
    """Fraction of the budget used: by wall time, or by steps where a number of steps is fixed."""

    def __init__(self, config: TrainingConfig) -> None:
        self.start = time.monotonic()
        if config.max_steps is None and config.budget_seconds is None:
            raise InputError("Training needs an end; give budget_seconds or max_steps.")
        self.total = float(config.max_steps or config.budget_seconds or 0.0)
        self.by_steps = config.max_steps is not None

    @property
    def elapsed(self) -> float:
        """Wall seconds, those before a resumption included."""
        return time.monotonic() - self.start

    def used(self, step: int) -> float:
        spent = step if self.by_steps else self.elapsed
        return min(spent / self.total, 1.0)

    def seconds_left(self, step: int) -> float:
        elapsed, used = self.elapsed, self.used(step)
        return elapsed * (1.0 - used) / max(used, 1e-9) if self.by_steps else self.total - elapsed

    def leave(self, seconds: float) -> None:
        """Make the budget shorter by ``seconds``, where it is one of wall time."""
        if not self.by_steps:
            self.total = max(self.total - seconds, 1e-3)

    def shorten(self, used: float, remaining: float) -> None:
        """Make ``remaining`` of the original budget the rest of it, counted from the fraction ``used``."""
        self.total = self.total * min(1.0, used + remaining)


class Plateau:
    """Tells, once, that neither the ESS share rises nor the reverse KL falls any more.

    Means over a third of all that was seen are compared with those over the third before; a change counts as
    none only where two standard errors more are within the bound, since a step's figures are noisy: 1 % of
    the ESS share; 1 % of the KL or two thousandths of a nat.
    """

    def __init__(self) -> None:
        self.seen: list[tuple[float, float]] = []
        self.told = False

    def reached(self, ess_fraction: float, divergence: float) -> bool:
        """Whether these figures of the last batches, after all that were given before, end the search."""
        self.seen.append((ess_fraction, divergence))
        span = max(PLATEAU_WINDOWS, len(self.seen) // 3)
        if self.told or len(self.seen) < 2 * span:
            return False
        before, recent = torch.tensor(self.seen[-2 * span :], dtype=torch.float64).view(2, span, 2)
        error = ((before.var(0) + recent.var(0)) / span).sqrt()
        rise, fall = (recent - before).mean(0) * torch.tensor([1.0, -1.0]) + 2.0 * error
        ess_fraction, divergence = before.mean(0).tolist()
        least_fall = max(PLATEAU_RELATIVE_GAIN * abs(divergence), PLATEAU_NATS)
        self.told = bool(rise <= PLATEAU_RELATIVE_GAIN * ess_fraction and fall <= least_fall)
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
    checkpoints: Checkpoints | None = None,
    reserve: Reserve | None = None,
) -> TrainingResult:
    """Run ``stages`` one after the other within the budget; leaves the averaged parameters in ``model``.

    With ``checkpoints`` the state is written every so often, and training goes on from what was written. A
    step whose gradient is not finite changes nothing and is counted. Raises ``EvaluationError`` after 50 such
    steps in a row.
    """
    if not any(parameter.requires_grad for parameter in model.parameters()):
        return TrainingResult()  # a single atom: nothing to learn
    training = _Training(model, stages, config, report, checkpoints, reserve)
    training.run()
    return training.result


class _Training:
    """One run of the loop: the stages and how far it has come."""

    def __init__(
        self,
        model: nn.Module,
        stages: Sequence[Stage],
        config: TrainingConfig,
        report: Callable[[Progress], None],
        checkpoints: Checkpoints | None,
        reserve: Reserve | None,
    ) -> None:
        self.model, self.stages, self.config, self.report = model, stages, config, report
        self.checkpoints, self.reserve = checkpoints, reserve
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.result = TrainingResult()
        self.clock = _Clock(config)
        self.index = 0
        self._enter_stage()

    def run(self) -> None:
        saved = None if self.checkpoints is None else self.checkpoints.read()
        if saved is not None:
            self._restore(saved)
        total_share = sum(stage.share for stage in self.stages)
        while self.index < len(self.stages):
            planned = sum(stage.share for stage in self.stages[: self.index]) / total_share
            start = min(planned, self.entered)
            end = sum(stage.share for stage in self.stages[: self.index + 1]) / total_share
            stage = self.stages[self.index]
            with executor_for(stage.objective, self.parameters, self.config) as executor:
                self.result.processes = max(self.result.processes, executor.n_processes)
                self._run_stage(stage, executor, start, end)
            self.index += 1
            if self.index < len(self.stages):
                self._enter_stage()
        self.result.seconds = self.clock.elapsed

    def _enter_stage(self) -> None:
        stage = self.stages[self.index]
        self.entered = self.clock.used(self.result.steps)
        self.optimizer = torch.optim.Adam(
            self.parameters, lr=stage.learning_rate, betas=stage.betas, fused=True
        )
        self.average = WeightAverage(self.model, self.config.averaging)
        self.window: deque[Tensor] = deque(maxlen=WINDOW_BATCHES)
        self.plateau = Plateau()
        self.bad_in_a_row = 0

    def _run_stage(self, stage: Stage, executor: Executor, start: float, end: float) -> None:
        while True:
            used = self.clock.used(self.result.steps)
            progress = self._progress(stage, (used - start) / (end - start))
            if progress >= 1.0 and self.average.steps:
                break
            if self.checkpoints is not None and self.checkpoints.due(used):
                self.checkpoints.write(used, self._state())
            loss = self._step(stage, executor, progress)
            if loss.log_weights is not None:
                self.window.append(loss.log_weights)
            if self.result.steps % WINDOW_BATCHES == 0:
                self._look(stage, progress, used, end - start, float(loss.value))
        self.average.copy_to(self.model)

    def _progress(self, stage: Stage, of_its_share: float) -> float:
        """Through ``stage``, 0 to 1: by its share of the budget or by its steps, whichever ends it sooner."""
        of_its_steps = self.average.steps / stage.most_steps if stage.most_steps else 0.0
        return min(max(of_its_share, of_its_steps), 1.0)

    def _step(self, stage: Stage, executor: Executor, progress: float) -> Loss:
        for group in self.optimizer.param_groups:
            group["lr"] = stage.learning_rate * _learning_rate_factor(progress, self.average.steps)
        loss = executor.loss_and_gradient(self.result.steps, progress)
        sound = bool(torch.isfinite(loss.value))
        if sound:
            norm = nn.utils.clip_grad_norm_(self.parameters, self.config.gradient_norm)
            sound = bool(torch.isfinite(norm))
        self.result.steps += 1
        self.result.n_dropped += loss.n_dropped
        if sound:
            self.optimizer.step()
            self.average.update(self.model)
            self.bad_in_a_row = 0
            return loss
        self.result.n_bad_steps += 1
        self.bad_in_a_row += 1
        if self.bad_in_a_row == MAX_BAD_STEPS:
            raise EvaluationError(
                f"training diverged: {MAX_BAD_STEPS} gradients in a row were not finite in stage"
                f" '{stage.name}'; lower the learning rate or raise the starting temperature"
            )
        return loss

    def _look(self, stage: Stage, progress: float, used: float, width: float, loss: float) -> None:
        """Judge the last batches, end what no longer gains, tell whoever watches."""
        summary = _window_summary(self.window) if self.window else None
        if summary:
            self.result.history.append((self.clock.elapsed, self.result.steps, *summary))
            if self.reserve is not None and used > 0.5:
                if summary[0] < self.reserve.ess_fraction:
                    self.clock.leave(self.reserve.seconds)
                self.reserve = None
            if progress > stage.steady_from and self.plateau.reached(*summary):
                self.clock.shorten(used, COOL_DOWN * width)
                self.result.plateau = True
        seconds_left = self.clock.seconds_left(self.result.steps)
        self.report(
            Progress(stage.name, used, seconds_left, self.result.steps, loss, *(summary or (None, None)))
        )

    def _state(self) -> dict[str, Any]:
        return {
            "stage": self.index,
            "entered": self.entered,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "averages": self.average.averages,
            "average_steps": self.average.steps,
            "window": list(self.window),
            "plateau": {"seen": self.plateau.seen, "told": self.plateau.told},
            "bad_in_a_row": self.bad_in_a_row,
            "clock": {"elapsed": self.clock.elapsed, "total": self.clock.total},
            "objective": self.stages[self.index].objective.state_dict(),
            "reserve_pending": self.reserve is not None,
            "result": vars(self.result),
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self.index = state["stage"]
        self.model.load_state_dict(state["model"])
        self._enter_stage()
        self.entered = state["entered"]
        self.stages[self.index].objective.load_state_dict(state["objective"])
        self.optimizer.load_state_dict(state["optimizer"])
        for name, value in state["averages"].items():
            self.average.averages[name].copy_(value)
        self.average.steps = state["average_steps"]
        self.window.extend(weights.to(self.parameters[0].device) for weights in state["window"])
        self.plateau.seen, self.plateau.told = state["plateau"]["seen"], state["plateau"]["told"]
        self.bad_in_a_row = state["bad_in_a_row"]
        self.clock.start = time.monotonic() - state["clock"]["elapsed"]
        self.clock.total = state["clock"]["total"]
        self.reserve = self.reserve if state["reserve_pending"] else None
        self.result = TrainingResult(**state["result"])
