"""What came of one model of a comparison: what it cost, how far from the reference it is, what it says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from boltzgen.evaluation.comparison import Comparison
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

    def summary(self) -> dict[str, Any]:
        """As JSON has it."""
        found: dict[str, Any] = {
            "model": self.label,
            "family": self.family,
            "trained_on": self.trained_on,
            "density": self.density,
            "failure": self.failure,
            "cost": None if self.cost is None else asdict(self.cost),
            "model_figures": dict(self.figures),
        }
        for name in ("untrained", "generated", "reweighted"):
            one: Comparison | None = getattr(self, name)
            found[name] = None if one is None else comparison_summary(one)
        if self.weights is not None and self.weights.log_z is not None:
            found["weights"] = {
                "effective_sample_size": self.weights.effective_sample_size,
                "effective_sample_size_fraction": self.weights.effective_sample_size / self.weights.n_samples,
                "pareto_k": self.weights.pareto_k,
                "log_Z": self.weights.log_z.value,
                "log_Z_stderr": self.weights.log_z.stderr,
            }
        return found


def comparison_summary(one: Comparison) -> dict[str, Any]:
    """Every figure of ``one`` with its error and its null."""
    return {
        "n_samples": one.n_samples,
        **{name: asdict(figure) for name, figure in one.figures.items()},
        "torsions": {
            name: {figure: asdict(value) for figure, value in figures.items()}
            for name, figures in one.torsions.items()
        },
        "mmd_permutation_p_value": one.mmd_p_value,
        "conformers_reached": one.coverage.n_reached,
        "conformers": one.coverage.n_conformers,
        "conformer_mass_reached": one.coverage.mass_reached,
        "conformers_missed": [
            {"states": states, "population": population} for states, population in one.coverage.missed
        ],
        "share_above_reference_q999": {
            "value": one.high_energies.value, "stderr": one.high_energies.stderr, "null": 0.001
        },
        "share_nearer_to_training_frames": None
        if one.copied is None
        else {"value": one.copied.value, "stderr": one.copied.stderr, "null": 0.5},
    }  # fmt: skip
