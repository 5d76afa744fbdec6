"""What `boltzgen sample --dry-run` writes: what a run would sample, and how long it would take."""

from __future__ import annotations

from boltzgen.records.record import Record


class PlannedFeature(Record):
    """A feature of the coordinates: its kind, its atoms as a person reads them, and its multiplicity."""

    kind: str
    where: str
    count: int


class Plan(Record):
    """Size of the problem, everything that is sampled or kept, and the time a run would take."""

    molecule: str
    n_atoms: int
    degrees_of_freedom: int
    forcefield: str
    solvent: str
    n_soft_torsions: int
    symmetry_multiplicity: int
    features: list[PlannedFeature]
    n_parameters: int
    budget_seconds: float
    least_seconds: float
    most_seconds: float
    warnings: list[str]
