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
from boltzgen.problem import Problem
from boltzgen.progress import StageProgress, Stopwatch
from boltzgen.training.data import TrainingData
from boltzgen.training.families import family, untrained_model
from boltzgen.training.held_out import held_out_measure
from boltzgen.training.result import Progress, TrainingResult
from boltzgen.training.trainer import train
from boltzgen.workflows.comparison_entries import CompareConfig, ComparisonEntry
from boltzgen.workflows.hot_frames import hot_frames
from boltzgen.workflows.reference_parts import ReferenceParts, thinned
from boltzgen.workflows.sampling import density_kind, draw
from boltzgen.workflows.training_data import energy_data, internal_frames


@dataclass
class ComparisonSetup:
    """What all models of a comparison share.

    Energies computed: shared_evaluations for the thermal frames, reference_evaluations for the part of the
    reference to learn from, hot_evaluations for hot frames. samples: of each model, as generated, by its
    label.
    """

    config: CompareConfig
    problem: Problem
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
        target, before = self.problem.target, self.problem.target.evaluations
        generator = torch.Generator(self.problem.device).manual_seed(self.config.seed)
        with self.watch.stage("hot frames"):
            frames = hot_frames(self.problem, generator)
        self.hot_evaluations = target.evaluations - before
        return frames

    def described(self, ensemble: Ensemble) -> Described:
        coordinates = self.problem.coordinates
        return describe(coordinates, self.yardstick.torsions, ensemble.positions, ensemble.reduced_energies)


def compared_model(setup: ComparisonSetup, entry: ComparisonEntry) -> ModelResult:
    """The row of one model; what it may fail of is caught, and said in its row."""
    kind = family(entry.family)
    row = ModelResult(entry.label, entry.family, kind.trained_on, "none")
    try:
        return _trained_and_measured(setup, entry, row)
    except (EvaluationError, NotConvergedError) as error:
        return replace(row, failure=str(error))


def _trained_and_measured(setup: ComparisonSetup, entry: ComparisonEntry, row: ModelResult) -> ModelResult:
    problem, config, watch = setup.problem, setup.config, setup.watch
    torch.manual_seed(config.seed)
    generator = torch.Generator(problem.device).manual_seed(config.seed)
    model = untrained_model(entry.family, entry.settings, problem)
    before = _samples_before(setup, model, generator)
    first, hot = problem.target.evaluations, setup.hot_evaluations
    data = _training_data(setup, entry, model, generator)
    training = _train(setup, entry, model, data)
    first += setup.hot_evaluations - hot  # frames made now serve every model that learns from them
    cost = Cost(
        n_frames=0 if data.frames is None else len(data.frames.stiff),
        n_energy_evaluations=setup.shared_evaluations
        + (problem.target.evaluations - first)
        + (setup.reference_evaluations if row.trained_on == "frames" else 0)
        + (setup.hot_evaluations if family(entry.family).hot_frames else 0),
        n_parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
        n_steps=training.steps,
        seconds=training.seconds,
    )
    after = _samples(setup, model, generator)
    weighted = after.has_free_energy
    with watch.stage("measurement", entry.label):
        learnt = None if row.trained_on == "energy" or cost.n_frames < LEAST_FRAMES else _features(data)
        samples = setup.described(after)
        setup.samples[entry.label] = samples
        yardstick = setup.yardstick
        return replace(
            row,
            density=density_kind(model),
            cost=cost,
            untrained=None if before is None else yardstick.measure(setup.described(before), None),
            generated=yardstick.measure(samples, learnt),
            reweighted=yardstick.measure_weighted(samples, after.log_weights) if weighted else None,
            weights=after.statistics if weighted else None,
            figures=family(entry.family).figures(model, _test_data(setup, entry, model, generator)),
        )


def _training_data(
    setup: ComparisonSetup, entry: ComparisonEntry, model: Model, generator: torch.Generator
) -> TrainingData:
    """The thermal frames of the energy itself, or the part of the reference that is there to learn from."""
    if family(entry.family).trained_on == "energy":
        return energy_data(setup.problem, model, generator)
    rows = setup.parts.training
    if entry.n_frames is not None:
        rows = thinned(rows, entry.n_frames, setup.config.seed)
    return _reference_data(setup, entry, rows, model, generator)


def _test_data(
    setup: ComparisonSetup, entry: ComparisonEntry, model: Model, generator: torch.Generator
) -> TrainingData:
    """Frames that no model has seen, for what a model says of itself."""
    rows = np.concatenate(setup.parts.halves)
    return _reference_data(setup, entry, rows, model, generator)


def _reference_data(
    setup: ComparisonSetup, entry: ComparisonEntry, rows: np.ndarray, model: Model, generator: torch.Generator
) -> TrainingData:
    positions = torch.as_tensor(setup.reference.positions[rows]).to(generator.device)
    hot = internal_frames(model, setup.hot_positions) if family(entry.family).hot_frames else None
    return TrainingData(setup.problem.target, generator, internal_frames(model, positions), hot)


def _features(data: TrainingData) -> np.ndarray:
    assert data.frames is not None
    torsions, stiff = data.frames
    return torch.cat([torsions.cos(), torsions.sin(), stiff], dim=1).double().cpu().numpy()


def _samples(setup: ComparisonSetup, model: Model, generator: torch.Generator) -> Ensemble:
    problem = setup.problem
    n = setup.config.n_samples
    return draw(model, problem.target, problem.molecule, n, generator, setup.watch)


def _samples_before(setup: ComparisonSetup, model: Model, generator: torch.Generator) -> Ensemble | None:
    """Of the untrained model; None where none of them has a finite energy."""
    try:
        return _samples(setup, model, generator)
    except NotConvergedError:
        return None


def _train(
    setup: ComparisonSetup, entry: ComparisonEntry, model: Model, data: TrainingData
) -> TrainingResult:
    settings = setup.config.training_of_each(setup.problem.target.n_atoms)
    name = f"training {entry.label}"
    with setup.watch.stage(name):
        stages = family(entry.family).stages(model, data, settings)
        measure = held_out_measure(model, data, family(entry.family).trained_on == "energy")
        return train(model, stages, settings, _relayed(setup.watch, name), measure=measure)


def _relayed(watch: Stopwatch, name: str) -> Callable[[Progress], None]:
    def relay(progress: Progress) -> None:
        note = f"{progress.stage}, step {progress.step}"
        watch.report(StageProgress(name, progress.fraction, progress.seconds_left, note))

    return relay
