"""Energies of given conformers, force by force."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from boltzgen.molecules.molecule import Molecule


@dataclass(frozen=True)
class ConformerEnergies:
    """Potential energies [conformers] in kJ/mol of each force by name; the total is their sum."""

    molecule: Molecule
    forcefield: str
    solvent: str
    terms: dict[str, np.ndarray]

    @property
    def total(self) -> np.ndarray:
        """[conformers] kJ/mol."""
        return np.sum(list(self.terms.values()), axis=0)
