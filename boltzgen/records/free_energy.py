"""``free-energy.json``: what ``boltzgen free-energy`` found, units in the key names."""

from __future__ import annotations

from typing import ClassVar, Literal

from boltzgen.records.record import Real, Record


class FreeEnergyEstimate(Record):
    """A free energy, or a difference of two, by one estimator.

    bias_kJ_mol: expected value minus true one by extrapolation in sample size, null where it is not known;
    the value is not corrected for it.
    """

    estimator: str
    free_energy_kJ_mol: Real
    stderr_kJ_mol: Real
    bias_kJ_mol: Real


class EstimatorDisagreement(Record):
    """Two estimators that differ by more than three standard errors of their difference."""

    first: str
    second: str
    difference_kJ_mol: Real
    stderr_kJ_mol: Real


class RegionPopulation(Record):
    """Population of a region of configurations, and −kT ln of it. agrees: samples and frames do."""

    name: str
    population: Real
    population_stderr: Real
    free_energy_kJ_mol: Real
    free_energy_stderr_kJ_mol: Real
    by_importance_weights: Real
    by_replica_exchange: Real
    agrees: bool


class IdealGasEntropy(Record):
    """S°(T) of an ideal gas at 1 bar in J/mol/K, and its parts.

    configuration: of everything inside the molecule, classically, symmetry number included;
    quantum_correction: what harmonic quantum mechanics changes, at the main conformers.
    """

    temperature_K: float
    symmetry_number: int
    translation_J_mol_K: float
    rotation_J_mol_K: float
    configuration_J_mol_K: float
    quantum_correction_J_mol_K: float
    entropy_J_mol_K: float
    entropy_stderr_J_mol_K: Real
    n_conformers: int


class TemperatureCurve(Record):
    """Values at each temperature, with standard errors. heat capacity: of the configurations."""

    temperatures_K: list[float]
    free_energy_kJ_mol: list[Real]
    free_energy_stderr_kJ_mol: list[Real]
    mean_energy_kJ_mol: list[Real]
    mean_energy_stderr_kJ_mol: list[Real]
    entropy_J_mol_K: list[Real]
    entropy_stderr_J_mol_K: list[Real]
    heat_capacity_J_mol_K: list[Real]
    heat_capacity_stderr_J_mol_K: list[Real]
    effective_share: list[Real]


class StateFreeEnergy(Record):
    """The free energy of one state.

    estimator: whose value is reported. upper and lower bounds: −kT E_q[ln w] ≥ F ≥ −kT E_p[ln w]; the upper
    one is null where a sample has no weight, the lower one without frames. entropy: (⟨U⟩ − F)/T.
    model_overlap: of the model and the frames, from 0 to 1.
    """

    omitted: ClassVar[frozenset[str]] = frozenset(("curve", "ideal_gas"))

    name: str
    molecule: str
    forcefield: str
    solvent: str
    temperature_K: float
    n_atoms: int
    n_samples: int
    n_ladders: int
    n_frames: int
    effective_sample_size: Real
    pareto_k: Real
    model_overlap: Real
    estimator: str
    free_energy_kJ_mol: float
    free_energy_stderr_kJ_mol: Real
    free_energy_kcal_mol: float
    free_energy_stderr_kcal_mol: Real
    estimates: list[FreeEnergyEstimate]
    disagreements: list[EstimatorDisagreement]
    upper_bound_kJ_mol: Real
    lower_bound_kJ_mol: Real
    mean_energy_kJ_mol: Real
    mean_energy_stderr_kJ_mol: Real
    entropy_J_mol_K: Real
    entropy_stderr_J_mol_K: Real
    regions: list[RegionPopulation]
    curve: TemperatureCurve | None = None
    ideal_gas: IdealGasEntropy | None = None
    converged: bool
    warnings: list[str]


class FreeEnergyDifference(Record):
    """Second state minus first. overlap: of the two ensembles of frames, from 0 to 1."""

    first: str
    second: str
    estimator: str
    free_energy_kJ_mol: float
    free_energy_stderr_kJ_mol: Real
    free_energy_kcal_mol: float
    free_energy_stderr_kcal_mol: Real
    estimates: list[FreeEnergyEstimate]
    disagreements: list[EstimatorDisagreement]
    overlap: Real
    energy_kJ_mol: Real
    energy_stderr_kJ_mol: Real
    temperature_entropy_kJ_mol: Real
    temperature_entropy_stderr_kJ_mol: Real


class FreeEnergySummary(Record):
    """All of ``free-energy.json``: one state, or two and their difference. convention: what F means."""

    omitted: ClassVar[frozenset[str]] = frozenset(("difference",))

    schema_version: Literal[1] = 1
    kind: Literal["free-energy"] = "free-energy"
    convention: str
    states: list[StateFreeEnergy]
    difference: FreeEnergyDifference | None = None
    converged: bool
    warnings: list[str]
    n_energy_evaluations: int
    wall_seconds: dict[str, float]
    versions: dict[str, str]
