"""One model of a comparison after the other: trained on what all share, sampled, measured like all others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from boltzgen.ensemble import Ensemble
from boltzgen.errors import EvaluationError, NotConvergedError
from boltzgen.evaluation.comparison import Yardstick
from boltzgen.evaluation.description import Described, describe
from boltzgen.evaluation.discrepancy import LEAST_FRAMES
from boltzgen.evaluation.results import Cost, ModelResult
from boltzgen.models.model import Model
from boltzgen.training.data import TrainingData
from boltzgen.training.families import family
from boltzgen.training.trainer import Progress, TrainingResult, train
from boltzgen.workflows.contestants import CompareConfig, Contestant
from boltzgen.workflows.drawing import density_kind, draw
from boltzgen.workflows.hot_frames import hot_frames
from boltzgen.workflows.preparation import Preparation, energy_data, internal_frames, untrained_model
from boltzgen.workflows.progress import StageProgress, Stopwatch
from boltzgen.workflows.reference_parts import ReferenceParts, thinned


@dataclass
class Contest:
    """What all models of a comparison share.

    Energies computed: shared_evaluations for the thermal frames, reference_evaluations for the part of the
    reference to learn from, hot_evaluations for hot frames. samples: of each model, as generated, by its
    label.
    """

    config: CompareConfig
    prepared: Preparation
    reference: Ensemble
    parts: ReferenceParts
    yardstick: Yardstick
    watch: Stopwatch
    shared_evaluations: int
    reference_evaluations: int
    hot_evaluations: int = 0
    samples: dict[str, Described] = field(default_factory=dict)

    @cached_property
    def hot_positions(self) -> Tensor:
        """Frames at a higher temperature, made when the first model asks for them."""
        target, before = self.prepared.target, self.prepared.target.evaluations
        generator = torch.Generator(self.prepared.frames.positions.device).manual_seed(self.config.seed)
        with self.watch.stage("hot frames"):
            frames = hot_frames(self.prepared, generator)
        self.hot_evaluations = target.evaluations - before
        return frames

    def described(self, ensemble: Ensemble) -> Described:
        coordinates = self.prepared.model.coordinates
        return describe(coordinates, self.yardstick.torsions, ensemble.positions, ensemble.reduced_energies)


def entered(contest: Contest, entrant: Contestant) -> ModelResult:
    """The row of one model; what it may fail of is caught, and said in its row."""
    kind = family(entrant.family)
    row = ModelResult(entrant.label, entrant.family, kind.trained_on, "none")
    try:
        return _trained_and_measured(contest, entrant, row)
    except (EvaluationError, NotConvergedError) as error:
        return replace(row, failure=str(error))


def _trained_and_measured(contest: Contest, entrant: Contestant, row: ModelResult) -> ModelResult:
    prepared, config, watch = contest.prepared, contest.config, contest.watch
    torch.manual_seed(config.seed)
    device = prepared.frames.positions.device
    generator = torch.Generator(device).manual_seed(config.seed)
    model = untrained_model(entrant.family, entrant.settings, prepared.model.coordinates, device)
    before = _samples_before(contest, model, generator)
    first, hot = prepared.target.evaluations, contest.hot_evaluations
    data = _data(contest, entrant, model, generator)
    training = _train(contest, entrant, model, data)
    first += contest.hot_evaluations - hot  # frames made now serve every model that learns from them
    cost = Cost(
        n_frames=0 if data.frames is None else len(data.frames.stiff),
        n_energy_evaluations=contest.shared_evaluations
        + (prepared.target.evaluations - first)
        + (contest.reference_evaluations if row.trained_on == "frames" else 0)
        + (contest.hot_evaluations if family(entrant.family).hot_frames else 0),
        n_parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
        n_steps=training.steps,
        seconds=training.seconds,
    )
    after = _samples(contest, model, generator)
    with watch.stage("measurement", entrant.label):
        learnt = None if row.trained_on == "energy" or cost.n_frames < LEAST_FRAMES else _features(data)
        samples = contest.described(after)
        contest.samples[entrant.label] = samples
        yardstick = contest.yardstick
        return replace(
            row,
            density=density_kind(model),
            cost=cost,
            untrained=None if before is None else yardstick.measure(contest.described(before), None),
            generated=yardstick.measure(samples, learnt),
            reweighted=yardstick.measure_weighted(samples, after.log_weights) if after.has_density else None,
            weights=after.statistics if after.has_density else None,
            figures=family(entrant.family).figures(model, _test_data(contest, entrant, model, generator)),
        )


def _data(contest: Contest, entrant: Contestant, model: Model, generator: torch.Generator) -> TrainingData:
    """The thermal frames of the energy itself, or the part of the reference that is there to learn from."""
    if family(entrant.family).trained_on == "energy":
        return energy_data(contest.prepared, model, generator)
    rows = contest.parts.training
    if entrant.n_frames is not None:
        rows = thinned(rows, entrant.n_frames, contest.config.seed)
    return _reference_data(contest, entrant, rows, model, generator)


def _test_data(
    contest: Contest, entrant: Contestant, model: Model, generator: torch.Generator
) -> TrainingData:
    """Frames that no model has seen, for what a model says of itself."""
    rows = np.concatenate(contest.parts.halves)
    return _reference_data(contest, entrant, rows, model, generator)


def _reference_data(
    contest: Contest, entrant: Contestant, rows: np.ndarray, model: Model, generator: torch.Generator
) -> TrainingData:
    positions = torch.as_tensor(contest.reference.positions[rows]).to(generator.device)
    hot = internal_frames(model, contest.hot_positions) if family(entrant.family).hot_frames else None
    return TrainingData(contest.prepared.target, generator, internal_frames(model, positions), hot)


def _features(data: TrainingData) -> np.ndarray:
    assert data.frames is not None
    torsions, stiff = data.frames
    return torch.cat([torsions.cos(), torsions.sin(), stiff], dim=1).double().cpu().numpy()


def _samples(contest: Contest, model: Model, generator: torch.Generator) -> Ensemble:
    prepared = contest.prepared
    n = contest.config.n_samples
    return draw(model, prepared.target, prepared.system.molecule, n, generator, contest.watch)


def _samples_before(contest: Contest, model: Model, generator: torch.Generator) -> Ensemble | None:
    """Of the untrained model; None where none of them has a finite energy."""
    try:
        return _samples(contest, model, generator)
    except NotConvergedError:
        return None


def _train(contest: Contest, entrant: Contestant, model: Model, data: TrainingData) -> TrainingResult:
    settings = contest.config.training_of_each(contest.prepared.target.n_atoms)
    name = f"training {entrant.label}"
    with contest.watch.stage(name):
        stages = family(entrant.family).stages(model, data, settings)
        return train(model, stages, settings, _relayed(contest.watch, name))


def _relayed(watch: Stopwatch, name: str) -> Callable[[Progress], None]:
    def relay(progress: Progress) -> None:
        note = f"{progress.stage}, step {progress.step}"
        watch.report(StageProgress(name, progress.fraction, progress.seconds_left, note))

    return relay
