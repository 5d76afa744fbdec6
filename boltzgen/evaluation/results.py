"""What came of one model of a comparison: what it cost, how far from the reference it is, what it says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from boltzgen.evaluation.comparison import Comparison
from boltzgen.records.comparison import (
    Distance,
    Distances,
    MissedConformer,
    ModelCost,
    ModelRow,
    ModelWeights,
    Share,
)
from boltzgen.sampling.importance import WeightStatistics


@dataclass(frozen=True)
class Cost:
    """n_energy_evaluations: until the model was trained, those of the frames that it saw included.

    seconds: wall time of training.
    """

    n_frames: int
    n_energy_evaluations: int
    n_parameters: int
    n_steps: int
    seconds: float


@dataclass(frozen=True)
class ModelResult:
    """One row. ``failure`` says in a sentence what went wrong, where there are no figures.

    untrained, generated: the model's samples before and after training. reweighted: the same by their
    weights, where the model has a density; ``weights`` are then the statistics of these. figures: what the
    model says of itself, by name with units.
    """

    label: str
    family: str
    trained_on: str
    density: str
    cost: Cost | None = None
    untrained: Comparison | None = None
    generated: Comparison | None = None
    reweighted: Comparison | None = None
    weights: WeightStatistics | None = None
    figures: Mapping[str, float] = field(default_factory=dict)
    failure: str | None = None

    def row(self) -> ModelRow:
        """As ``comparison.json`` has it."""
        weights = self.weights
        return ModelRow(
            model=self.label,
            family=self.family,
            trained_on=self.trained_on,
            density=self.density,
            failure=self.failure,
            cost=None if self.cost is None else ModelCost(**asdict(self.cost)),
            model_figures=dict(self.figures),
            untrained=None if self.untrained is None else distances(self.untrained),
            generated=None if self.generated is None else distances(self.generated),
            reweighted=None if self.reweighted is None else distances(self.reweighted),
            weights=None
            if weights is None or weights.log_z is None
            else ModelWeights(
                effective_sample_size=weights.effective_sample_size,
                effective_sample_size_fraction=weights.effective_sample_size / weights.n_samples,
                pareto_k=weights.pareto_k,
                log_Z=weights.log_z.value,
                log_Z_stderr=weights.log_z.stderr,
            ),
        )


def distances(one: Comparison) -> Distances:
    """Every figure of ``one`` with its error and its null."""
    figures = {name: Distance(**asdict(figure)) for name, figure in one.figures.items()}
    high, copied = one.high_energies, one.copied
    return Distances(
        n_samples=one.n_samples,
        **figures,
        torsions={
            name: {figure: Distance(**asdict(value)) for figure, value in of_torsion.items()}
            for name, of_torsion in one.torsions.items()
        },
        mmd_permutation_p_value=one.mmd_p_value,
        conformers_reached=one.coverage.n_reached,
        conformers=one.coverage.n_conformers,
        conformer_mass_reached=one.coverage.mass_reached,
        conformers_missed=[
            MissedConformer(states=states, population=population)
            for states, population in one.coverage.missed
        ],
        share_above_reference_q999=Share(value=high.value, stderr=high.stderr, null=0.001),
        share_nearer_to_training_frames=None
        if copied is None
        else Share(value=copied.value, stderr=copied.stderr, null=0.5),
    )
