"""What figures are drawn of: an ``Ensemble``, or anything with the same attributes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from boltzgen.conformers import ConformerTable
from boltzgen.molecules.molecule import Molecule
from boltzgen.sampling.importance import WeightStatistics


class DrawableSamples(Protocol):
    """Weighted conformations of a molecule.

    positions: nm [samples, atoms, 3]. weights: sum to one. energies, kT: kJ/mol. log_prob: log density of
    the model whose own samples these are, None where they are not. metadata: facts of the run.
    """

    @property
    def molecule(self) -> Molecule: ...
    @property
    def positions(self) -> np.ndarray: ...
    @property
    def weights(self) -> np.ndarray: ...
    @property
    def log_weights(self) -> np.ndarray: ...
    @property
    def log_prob(self) -> np.ndarray | None: ...
    @property
    def energies(self) -> np.ndarray: ...
    @property
    def temperature(self) -> float: ...
    @property
    def statistics(self) -> WeightStatistics: ...
    @property
    def kT(self) -> float: ...
    @property
    def has_free_energy(self) -> bool: ...
    @property
    def conformers(self) -> ConformerTable: ...
    @property
    def metadata(self) -> Mapping[str, Any]: ...


GENERATED, REWEIGHTED, REPLICA_EXCHANGE, UNWEIGHTED = (
    "generated",
    "reweighted",
    "replica exchange",
    "unweighted",
)


def weighted_series(samples: DrawableSamples) -> dict[str, np.ndarray | None]:
    """The distributions that ``samples`` show, by name: the weights of each, None for equal ones.

    Samples of a model show what it generates and, reweighted, the Boltzmann distribution; samples that were
    resampled or annealed show the second only.
    """
    if not samples.has_free_energy:
        return {"samples": samples.weights}
    if samples.log_prob is None:
        return {REWEIGHTED: samples.weights}
    return {GENERATED: None, REWEIGHTED: samples.weights}
