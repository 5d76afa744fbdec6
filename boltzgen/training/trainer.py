"""The training loop: one for every objective."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from boltzgen import accelerators
from boltzgen.errors import EvaluationError
from boltzgen.interruption import DeferredSignals, InterruptedRunError
from boltzgen.objectives.objective import Loss
from boltzgen.training.averaging import WeightAverage
from boltzgen.training.checkpoint import Checkpoints
from boltzgen.training.clock import Clock, Reserve
from boltzgen.training.config import TrainingConfig
from boltzgen.training.executors.choice import executor_for
from boltzgen.training.executors.executor import Executor
from boltzgen.training.guard import LOOK_EVERY, Guard, Measure
from boltzgen.training.learning_rate import learning_rate_factor, parameter_groups
from boltzgen.training.outcomes import Outcomes
from boltzgen.training.payoff import PayOff
from boltzgen.training.plateau import Plateau, window_summary
from boltzgen.training.result import Progress, TrainingResult
from boltzgen.training.stage import Stage

WINDOW_BATCHES = 16
MAX_BAD_STEPS = 50
COOL_DOWN = 0.15


def train(
    model: nn.Module,
    stages: Sequence[Stage],
    config: TrainingConfig,
    report: Callable[[Progress], None] = lambda progress: None,
    checkpoints: Checkpoints | None = None,
    reserve: Reserve | None = None,
    measure: Measure | None = None,
    pay_off: PayOff | None = None,
) -> TrainingResult:
    """Run ``stages`` one after the other within the budget.

    A step whose gradient is not finite changes nothing and is counted. Where ``measure`` finds that the
    training has diverged, or after 50 such steps in a row, it goes back to the best state of the stage and
    continues with half the learning rate; after four times the stage ends.

    Parameters
    ----------
    model
        Is left with the averaged parameters, or with the best ones by ``measure`` where these are clearly
        better.
    stages
        What is minimised, in this order.
    config
        Budget, averaging and bound of the gradient.
    report
        Is called every few steps.
    checkpoints
        Where the state is written every so often, at the end, and when the process is asked to end by a
        signal, which then takes its course. Training goes on from what was written.
    reserve
        Time to leave unused.
    measure
        How bad the model is as it stands.
    pay_off
        Ends the training where more of it would cost more time than it saves.

    Raises
    ------
    EvaluationError
        Where not one gradient is finite, or a process of several fails.
    """
    if not any(parameter.requires_grad for parameter in model.parameters()):
        return TrainingResult()  # a single atom: nothing to learn
    training = _Training(model, stages, config, report, checkpoints, reserve, measure, pay_off)
    if checkpoints is None:
        training.run()
    else:
        with training.signals:
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
        measure: Measure | None,
        pay_off: PayOff | None,
    ) -> None:
        self.model, self.stages, self.config, self.report = model, stages, config, report
        self.checkpoints, self.reserve, self.pay_off = checkpoints, reserve, pay_off
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.result = TrainingResult()
        self.clock = Clock(config)
        self.guard = Guard(model, measure)
        self.signals = DeferredSignals()
        self.outcomes = Outcomes()
        self.index = 0

    def run(self) -> None:
        saved = None if self.checkpoints is None else self.checkpoints.read()
        if saved is None:
            self._enter_stage()
        else:
            self._restore(saved)
            if saved["finished"]:
                return
        total_share = sum(stage.share for stage in self.stages)
        while True:
            planned = sum(stage.share for stage in self.stages[: self.index]) / total_share
            start = min(planned, self.entered)
            end = sum(stage.share for stage in self.stages[: self.index + 1]) / total_share
            stage = self.stages[self.index]
            with executor_for(stage.objective, self.parameters, self.config) as executor:
                self.result.processes = max(self.result.processes, executor.n_processes)
                self._run_stage(stage, executor, start, end)
            if self.index + 1 == len(self.stages) or self.result.pays_no_more:
                break
            self.index += 1
            self._enter_stage()
        self.result.seconds = self.clock.elapsed
        if self.checkpoints is not None:
            self.checkpoints.write(1.0, self._state(finished=True))

    def _enter_stage(self) -> None:
        self._begin_stage()
        self.guard.enter_stage(self.stages[self.index].objective.state_dict())

    def _begin_stage(self) -> None:
        self.entered = self.clock.used(self.result.steps)
        self.average = WeightAverage(self.model, self.config.averaging)
        self.window: deque[Tensor] = deque(maxlen=WINDOW_BATCHES)
        self.plateau = Plateau()
        self._begin_steps()

    def _begin_steps(self) -> None:
        """Begin with fresh moments, and a short rise of the learning rate."""
        stage = self.stages[self.index]
        groups = parameter_groups(self.model)
        self.optimizer = torch.optim.Adam(groups, lr=stage.learning_rate, betas=stage.betas, fused=True)
        self.begun_at, self.bad_in_a_row = self.average.steps, 0

    def _run_stage(self, stage: Stage, executor: Executor, start: float, end: float) -> None:
        while not self.guard.gives_up:
            used = self.clock.used(self.result.steps)
            progress = self._progress(stage, (used - start) / (end - start))
            if progress >= 1.0 and self.average.steps:
                break
            if self._pays_no_more():
                break
            self._put_aside(used)
            loss = self._step(stage, executor, progress)
            if loss.log_weights is not None:
                self.window.append(loss.log_weights)
            if self.result.steps % WINDOW_BATCHES == 0:
                self._look(stage, progress, used, end - start, float(loss.value))
            if self._has_diverged(stage):
                self._go_back(stage)
        self._count_unseen()
        self.average.copy_to(self.model)
        self.guard.settle()

    def _pays_no_more(self) -> bool:
        """Whether training ends here, after an assessment of the averaged model, where one is due."""
        if self.pay_off is None or not self.pay_off.due(self.clock.elapsed):
            return False
        with self.average.in_place(self.model):
            stops = self.pay_off.stops_at(self.clock.elapsed)
        self.result.pays_no_more, self.result.gave_way = self.pay_off.reason, self.pay_off.gave_way
        return stops

    def _put_aside(self, used: float) -> None:
        """Write a checkpoint where one is due, and end where the process is asked to."""
        if self.checkpoints is None:
            return
        if self.signals.number is not None or self.checkpoints.due(used):
            self.checkpoints.write(used, self._state())
        if self.signals.number is not None:
            raise InterruptedRunError(self.signals.number)

    def _progress(self, stage: Stage, of_its_share: float) -> float:
        """Through ``stage``, 0 to 1: by its share of the budget or by its steps, whichever ends it sooner."""
        of_its_steps = self.average.steps / stage.most_steps if stage.most_steps else 0.0
        return min(max(of_its_share, of_its_steps), 1.0)

    def _step(self, stage: Stage, executor: Executor, progress: float) -> Loss:
        factor = learning_rate_factor(progress, self.average.steps - self.begun_at)
        for group in self.optimizer.param_groups:
            group["lr"] = group["factor"] * stage.learning_rate * factor * self.guard.learning_rate_factor
        loss = executor.loss_and_gradient(self.result.steps, progress)
        self.result.steps += 1
        if accelerators.costs_a_wait(loss.value.device):
            self._follow_unseen(loss)
            return loss
        sound = bool(torch.isfinite(loss.value))
        if sound:
            norm = nn.utils.clip_grad_norm_(self.parameters, self.config.gradient_norm)
            sound = bool(torch.isfinite(norm))
        if sound:
            self.optimizer.step()
            self.average.update(self.model)
        self._count(sound, int(loss.n_dropped))
        return loss

    def _follow_unseen(self, loss: Loss) -> None:
        """Follow the gradient where the device finds it sound; the host learns of that every few steps."""
        norm = nn.utils.clip_grad_norm_(self.parameters, self.config.gradient_norm)
        sound = torch.isfinite(loss.value) & torch.isfinite(norm)
        # what torch's fused optimisers heed: as in mixed precision, such a step changes nothing
        self.optimizer.found_inf = (~sound).to(torch.float32)  # type: ignore[attr-defined]
        self.optimizer.step()
        self.average.update(self.model, sound)
        self.outcomes.add(sound, loss.n_dropped)
        if self.result.steps % WINDOW_BATCHES == 0:
            self._count_unseen()

    def _count_unseen(self) -> None:
        for sound, n_dropped in self.outcomes.read():
            self._count(sound, n_dropped)

    def _count(self, sound: bool, n_dropped: int) -> None:
        self.result.n_dropped += n_dropped
        self.result.n_bad_steps += not sound
        self.bad_in_a_row = 0 if sound else self.bad_in_a_row + 1

    def _has_diverged(self, stage: Stage) -> bool:
        """Whether it is time to go back: too many bad steps, or a model that is worse than it may be."""
        steps = self.result.steps
        if self.bad_in_a_row >= MAX_BAD_STEPS:
            if self.result.n_bad_steps == steps:
                raise EvaluationError(
                    f"training diverged: {MAX_BAD_STEPS} gradients in a row were not finite in stage"
                    f" '{stage.name}'; lower the learning rate or raise the starting temperature"
                )
            return True
        due = steps % LOOK_EVERY == 0
        if not due and steps % WINDOW_BATCHES == 0 and self.window:
            due = self.guard.is_alarmed(torch.cat(list(self.window)))
        return due and self.guard.has_diverged(stage.objective.state_dict())

    def _go_back(self, stage: Stage) -> None:
        """Continue from the best state more carefully: slower, and with nothing of what went wrong."""
        stage.objective.load_state_dict(self.guard.go_back())
        self.result.n_divergences += 1
        self.average.restart(self.model)
        self.window.clear()
        self.plateau.forget()
        self._begin_steps()

    def _look(self, stage: Stage, progress: float, used: float, width: float, loss: float) -> None:
        """Judge the last batches, end what no longer gains, tell whoever watches."""
        summary = window_summary(self.window) if self.window else None
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

    def _state(self, finished: bool = False) -> dict[str, Any]:
        self._count_unseen()
        return {
            "finished": finished,
            "stage": self.index,
            "entered": self.entered,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.state_dict(),
            "begun_at": self.begun_at,
            "window": list(self.window),
            "plateau": self.plateau.state_dict(),
            "bad_in_a_row": self.bad_in_a_row,
            "clock": self.clock.state_dict(),
            "guard": self.guard.state_dict(),
            "objective": self.stages[self.index].objective.state_dict(),
            "reserve_pending": self.reserve is not None,
            "pay_off": None if self.pay_off is None else self.pay_off.state_dict(),
            "result": vars(self.result),
        }

    def _restore(self, state: Mapping[str, Any]) -> None:
        self.index = state["stage"]
        self.model.load_state_dict(state["model"])
        self._begin_stage()
        self.entered, self.begun_at = state["entered"], state["begun_at"]
        self.stages[self.index].objective.load_state_dict(state["objective"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average.load_state_dict(state["average"])
        self.window.extend(weights.to(self.parameters[0].device) for weights in state["window"])
        self.plateau.load_state_dict(state["plateau"])
        self.bad_in_a_row = state["bad_in_a_row"]
        self.clock.load_state_dict(state["clock"])
        self.guard.load_state_dict(state["guard"])
        self.reserve = self.reserve if state["reserve_pending"] else None
        if self.pay_off is not None and state["pay_off"] is not None:
            self.pay_off.load_state_dict(state["pay_off"])
        self.result = TrainingResult(**state["result"])
