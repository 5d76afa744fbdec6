"""Distinct conformers of weighted samples, each shown by one of them, with its population."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from rdkit import Chem

from boltzgen.conformers import found_conformers
from boltzgen.errors import InputError
from boltzgen.molecules import conversion
from boltzgen.molecules.molecule import Molecule


@dataclass(frozen=True)
class DistinctConformer:
    """One conformer: positions [atoms, 3] nm, population with its standard error, energy, torsion states."""

    positions: Float[np.ndarray, "atoms 3"]
    population: float
    population_stderr: float
    energy_kJ_mol: float
    label: str


def distinct_conformers(
    molecule: Molecule,
    positions: Float[np.ndarray, "samples atoms 3"],
    energies: Float[np.ndarray, " samples"],
    weights: Float[np.ndarray, " samples"],
    most: int = 100,
    least_population: float = 0.0,
) -> list[DistinctConformer]:
    """Distinct conformers of weighted samples, most populated first.

    A conformer is one combination of torsion states (see conformers.py), shown by its sample of lowest
    energy.

    Parameters
    ----------
    positions, energies, weights
        In nm, in kJ/mol, and summing to one.
    most
        How many at most.
    least_population
        Those below it are left out.

    Raises
    ------
    InputError
        Where no conformer is as populated.
    """
    table = found_conformers(molecule, positions, energies, weights)
    chosen = [one for one in table.conformers if one.population.value >= least_population][:most]
    if not chosen:
        highest = table.conformers[0].population.value
        raise InputError(
            f"No conformer has a population of {least_population}: the highest is {highest:.3g}."
        )
    return [
        DistinctConformer(
            positions[one.representative],
            one.population.value,
            one.population.stderr,
            float(energies[one.representative]),
            one.label,
        )
        for one in chosen
    ]


def as_mol(molecule: Molecule, conformers: Sequence[DistinctConformer]) -> Chem.Mol:
    """``conformers`` as those of an RDKit molecule, superposed, with their figures as properties.

    "weight" is the share of each among those that are written, "population" that among all samples.
    """
    positions = conversion.superposed(np.array([one.positions for one in conformers]))
    total = sum(one.population for one in conformers)
    properties: list[dict[str, float | str]] = [
        {
            "weight": one.population / total,
            "population": one.population,
            "population_stderr": one.population_stderr,
            "energy_kJ_mol": one.energy_kJ_mol,
            "conformer": one.label,
        }
        for one in conformers
    ]
    return conversion.to_rdkit(molecule, positions, properties)
