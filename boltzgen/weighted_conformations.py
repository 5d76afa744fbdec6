"""Conformers and torsions of weighted conformations of one molecule, and its few most telling samples."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from boltzgen.conformers import ConformerTable, found_conformers
from boltzgen.distinct_conformers import DistinctConformer, distinct_conformers
from boltzgen.molecules import conversion
from boltzgen.molecules.molecule import Molecule
from boltzgen.molecules.stereo_check import PERCEPTION_SECONDS, require_stereo
from boltzgen.molecules.torsions import conformer_torsions, torsion_values
from boltzgen.weighted_samples import WeightedSamples

if TYPE_CHECKING:
    from rdkit import Chem


class WeightedConformations(WeightedSamples):
    """What follows from the weights, the positions and the molecule that they are conformations of."""

    molecule: Molecule

    @cached_property
    def conformers(self) -> ConformerTable:
        """Conformers as torsion states with their populations, most populated first (see conformers.py)."""
        return found_conformers(self.molecule, self.positions, self.energies, self.weights)

    def torsions(self) -> dict[str, Float[np.ndarray, " samples"]]:
        """The torsions that tell conformers apart, by their atoms, in radians (see molecules/torsions.py)."""
        torsions = conformer_torsions(self.molecule)
        values = torsion_values(self.positions, torsions)
        return {torsion.name: values[:, column] for column, torsion in enumerate(torsions)}

    def representatives(self, n: int = 100) -> list[tuple[int, float]]:
        """At most ``n`` distinct samples as (index, weight), drawn from the ensemble, heaviest first."""
        indices, counts = np.unique(self.draw(min(n, len(self)), None), return_counts=True)
        order = np.argsort(-counts, kind="stable")
        return [(int(indices[i]), float(counts[i] / counts.sum())) for i in order]

    def require_stereo(self, seconds: float = PERCEPTION_SECONDS) -> int:
        """Raise EvaluationError unless every conformation with a weight shows the molecule's stereo.

        RDKit perceives those of ``representatives`` first, and as many others as ``seconds`` allow; their
        number is returned (see molecules/stereo_check.py).
        """
        first = [index for index, _ in self.representatives()]
        others = np.setdiff1d(np.flatnonzero(self.log_weights > -np.inf), first)
        chosen = np.concatenate([first, others]).astype(int)
        return require_stereo(self.molecule, self.positions[chosen], seconds)

    def to_rdkit(self, n: int = 100) -> Chem.Mol:
        """An RDKit molecule whose conformers are ``representatives(n)``, each with its weight as property."""
        chosen = self.representatives(n)
        properties = [{"weight": weight, "energy_kJ_mol": self.energies[index]} for index, weight in chosen]
        return conversion.to_rdkit(self.molecule, self.positions[[index for index, _ in chosen]], properties)

    def distinct_conformers(self, most: int = 100, least_population: float = 0.0) -> list[DistinctConformer]:
        """At most ``most`` distinct conformers with their populations, shown by samples of lowest energy.

        Raises InputError where none has ``least_population``.
        """
        return distinct_conformers(
            self.molecule, self.positions, self.energies, self.weights, most, least_population
        )
