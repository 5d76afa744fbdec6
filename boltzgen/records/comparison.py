"""``comparison.json``: what `boltzgen compare` says of each model, every distance beside its null value."""

from __future__ import annotations

from typing import ClassVar, Literal

from boltzgen.records.record import Real, Record


class Share(Record):
    """A share with its error, and what it would be if nothing differed."""

    value: Real
    stderr: Real
    null: Real


class Distance(Share):
    """A distance to the reference; ``null``: that of two independent halves of the reference."""

    null_stderr: Real


class MissedConformer(Record):
    """Torsion states that no sample is in, and their population in the reference."""

    states: str
    population: Real


class Distances(Record):
    """How far one set of samples is from the reference: over the whole molecule, and torsion by torsion.

    Distances that a molecule (without torsions) or a set of samples (reweighted ones have no classifier) has
    not are left out.
    """

    omitted: ClassVar[frozenset[str]] = frozenset(
        (
            "ks_worst_torsion", "kl_worst_torsion", "js_worst_torsion", "w1_torsions_rad", "w2_torsions_rad",
            "classifier_balanced_accuracy",
        )
    )  # fmt: skip

    n_samples: int
    ks_energy: Distance
    mmd_squared: Distance
    w1_torsions_rad: Distance | None = None
    w1_energy_kT: Distance
    w1_features: Distance
    w1_distances_nm: Distance
    w2_torsions_rad: Distance | None = None
    w2_energy_kT: Distance
    w2_features: Distance
    w2_distances_nm: Distance
    ks_worst_torsion: Distance | None = None
    kl_worst_torsion: Distance | None = None
    js_worst_torsion: Distance | None = None
    classifier_balanced_accuracy: Distance | None = None
    torsions: dict[str, dict[str, Distance]]
    mmd_permutation_p_value: Real
    conformers_reached: int
    conformers: int
    conformer_mass_reached: Real
    conformers_missed: list[MissedConformer]
    share_above_reference_q999: Share
    share_nearer_to_training_frames: Share | None


class ModelCost(Record):
    """n_energy_evaluations: until the model was trained, those of the frames that it saw included."""

    n_frames: int
    n_energy_evaluations: int
    n_parameters: int
    n_steps: int
    seconds: float


class ModelWeights(Record):
    """What the weights of a model's samples say."""

    effective_sample_size: Real
    effective_sample_size_fraction: Real
    pareto_k: Real
    log_Z: Real
    log_Z_stderr: Real


class ModelRow(Record):
    """One model; ``failure`` says in a sentence what went wrong, where there are no figures."""

    omitted: ClassVar[frozenset[str]] = frozenset(("weights",))

    model: str
    family: str
    trained_on: str
    density: str
    failure: str | None
    cost: ModelCost | None
    model_figures: dict[str, Real]
    untrained: Distances | None
    generated: Distances | None
    reweighted: Distances | None
    weights: ModelWeights | None = None


class ReferenceFacts(Record):
    """The reference ensemble, and how it was divided."""

    source: str
    n_frames: int
    n_frames_to_learn_from: int
    n_frames_to_judge_by: int
    divided: str
    effective_sample_size: Real
    converged: bool | None
    n_energy_evaluations: int | None
    wall_seconds: float


class ClaimRow(Record):
    """A statement about the models, whether it holds (null: not decided), and the numbers that say so."""

    statement: str
    holds: bool | None
    evidence: str


class ComparisonFacts(Record):
    """What was compared, on what, and how long it took."""

    schema_version: Literal[1] = 1
    molecule: str
    n_atoms: int
    temperature_K: float
    forcefield: str
    solvent: str
    n_samples: int
    budget_seconds_per_model: float | None
    max_steps_per_model: int | None
    seed: int
    reference: ReferenceFacts
    warnings: list[str]
    n_energy_evaluations_shared: int
    wall_seconds: dict[str, float]
    versions: dict[str, str]


class ComparisonSummary(ComparisonFacts):
    """All of ``comparison.json``."""

    models: list[ModelRow]
    claims: list[ClaimRow]
