"""``summary.json`` of a run of ``boltzgen sample`` or ``boltzgen reference``, units in the key names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, JsonValue

from boltzgen.records.record import Real, Record
from boltzgen.settings import validated

AnswerSource = Literal["model", "replica exchange", "combined"]
"""Whose samples a run gives: the model's, its replica exchange's, or those of both together."""


class EnsembleSummary(Record):
    """What the weights of an ensemble say; ``log_Z`` and free energies only where there are any."""

    omitted: ClassVar[frozenset[str]] = frozenset(
        (
            "log_Z", "free_energy_kT", "free_energy_stderr_kT", "free_energy_kJ_mol",
            "free_energy_stderr_kJ_mol",
        )
    )  # fmt: skip

    molecule: str
    n_atoms: int
    temperature_K: float
    n_samples: int
    effective_sample_size: Real
    effective_sample_size_fraction: Real
    clipped_effective_sample_size: Real
    pareto_k: Real
    mean_energy_kJ_mol: Real
    mean_energy_stderr_kJ_mol: Real
    log_Z: float | None = None
    free_energy_kT: float | None = None
    free_energy_stderr_kT: Real | None = None
    free_energy_kJ_mol: float | None = None
    free_energy_stderr_kJ_mol: Real | None = None


class ConformerSummary(Record):
    """A torsion state with its population, and the best sample of it by its index."""

    states: str
    population: Real
    population_stderr: Real
    torsions_deg: list[float]
    representative_sample: int


class TrainingHistory(Record):
    """Figures of the training batches over time, by column."""

    seconds: list[Real]
    step: list[int]
    ess_fraction: list[Real]
    reverse_kl: list[Real]


class TorsionCounts(Record):
    """Configurations by one torsion, in equal bins over its period around zero.

    generated: samples of the model before any refinement. replica_exchange: frames of the run's own.
    """

    torsion: str
    period_deg: float
    generated: list[int]
    replica_exchange: list[int]


class RefinementSummary(Record):
    """What refinement did; ``stages`` of annealing, with their ``acceptance``, where there were any."""

    evaluations: int
    proposals: int
    stages: int
    acceptance: Real
    share_before: Real
    share_after: Real
    seconds: float


class LevelStep(Record):
    """A step from one level of theory to another: what it took, and how good the flow is after it.

    Evaluations are those of the new energy; effective share and Pareto-k those of samples weighed by it.
    """

    step: str
    seconds: float
    evaluations: int
    n_samples: int
    effective_sample_size_fraction: Real
    pareto_k: Real


class ReplicaExchangeSummary(Record):
    """How good a run's own replica exchange is, where it is the answer or a part of it.

    effective_sample_size: by the slowest observable. r_hat: Gelman and Rubin's, the largest of all
    observables. largest_drift: between the halves, in standard errors. unseen_share: of the population, in
    conformers that one ladder alone shows.
    """

    n_ladders: int
    frames_a_ladder: int
    effective_sample_size: Real
    slowest_observable: str
    r_hat: Real
    largest_drift: Real
    unseen_share: Real


class RunFacts(Record):
    """What every run says beside its ensemble. ``wall_seconds``: of each stage, and ``total``.

    equivalence_marks: one of each atom where the energy distinguishes atoms that are alike in the graph:
    atoms of different marks differ.
    """

    omitted: ClassVar[frozenset[str]] = frozenset(("equivalence_marks",))

    schema_version: Literal[1] = 1
    forcefield: str
    solvent: str
    seed: int
    device: str
    n_energy_evaluations: int
    n_replaced_walkers: int
    converged: bool
    warnings: list[str]
    wall_seconds: dict[str, float]
    versions: dict[str, str]
    equivalence_marks: list[int] | None = None


class SampleFacts(RunFacts):
    """What a run of ``boltzgen sample`` adds to the summary of its ensemble.

    density: what is known of the model's (see ``Ensemble.density``). model_figures: what the model says of
    itself, by name. model_effective_sample_size_fraction: of its samples before any refinement. level_steps:
    of a run that started from another level of theory. n_stereo_perceived: of how many samples RDKit
    perceived the stereo, all of which show the molecule's; the others were judged by the signs of volumes
    alone. answer: whose the samples are: the model's, those of the run's own replica exchange, or of both
    together. replica_exchange: how good that is, where it was looked at.
    """

    omitted: ClassVar[frozenset[str]] = RunFacts.omitted | {"refinement", "level_steps", "replica_exchange"}

    kind: Literal["sample"] = "sample"
    model: str
    density: Literal["exact", "extended", "bound", "none"]
    trained_on: str
    model_figures: dict[str, Real]
    n_parameters: int
    n_training_steps: int
    training_seconds: float
    n_training_processes: int
    n_dropped_samples: int
    n_stereo_perceived: int = 0
    n_bad_training_steps: int
    n_training_divergences: int = 0
    training_reached_plateau: bool
    training_stopped_because: str = ""
    training_history: TrainingHistory
    symmetry_multiplicity: int
    model_effective_sample_size_fraction: Real
    refinement: RefinementSummary | None = None
    level_steps: list[LevelStep] | None = None
    answer: AnswerSource = "model"
    replica_exchange: ReplicaExchangeSummary | None = None
    effective_samples_per_second: Real
    replica_exchange_effective_samples_per_second: Real
    main_conformers: list[ConformerSummary]
    torsion_counts: list[TorsionCounts] = Field(default_factory=list)
    missed_frame_share: Real


class ReferenceFacts(RunFacts):
    """What a run of ``boltzgen reference`` adds to the summary of its ensemble.

    command and settings: how shipped references were made.
    """

    omitted: ClassVar[frozenset[str]] = RunFacts.omitted | {"command", "settings"}

    kind: Literal["reference"] = "reference"
    n_ladders: int
    temperatures_K: list[float]
    exchange_acceptance: list[Real]
    round_trips: int
    slowest_observable: str
    largest_drift: Real
    share_of_other_stereo: Real
    command: str | None = None
    settings: dict[str, JsonValue] | None = Field(default=None)


class RunSummary(SampleFacts, EnsembleSummary):
    """All of ``summary.json`` of ``boltzgen sample``."""

    omitted: ClassVar[frozenset[str]] = SampleFacts.omitted | EnsembleSummary.omitted


class ReferenceSummary(ReferenceFacts, EnsembleSummary):
    """All of ``summary.json`` of ``boltzgen reference``."""

    omitted: ClassVar[frozenset[str]] = ReferenceFacts.omitted | EnsembleSummary.omitted


def read_summary(content: Mapping[str, Any]) -> RunSummary | ReferenceSummary:
    """The record that ``content`` of a ``summary.json`` is. Raises InputError where it is none.

    Files from before records had a kind are told by the ladders that only a reference has.
    """
    if "n_ladders" in content:
        return validated(ReferenceSummary, **content)
    return validated(RunSummary, **content)
