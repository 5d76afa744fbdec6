"""The main conformers as models for viewers: 3Dmol.js on a page, py3Dmol in notebooks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from rdkit import Chem

from boltzgen.errors import InputError
from boltzgen.molecules.conversion import to_rdkit
from boltzgen.molecules.torsions import torsion_values
from boltzgen.plots.conformers import main_positions
from boltzgen.plots.samples import DrawableSamples
from boltzgen.units import KJ_PER_KCAL

if TYPE_CHECKING:
    import py3Dmol

MOST_MODELS = 10


class ConformerModel(NamedTuple):
    """A conformer to be shown: its structure, and what is said of it.

    molblock: the sample of lowest energy, superposed on that of the first conformer. population: share, and
    its standard error. free_energy: −kT ln of the population, above the first conformer. energy: of the
    sample shown, above the lowest of the samples shown. Both in kcal/mol. torsions: degrees, of this sample.
    """

    molblock: str
    states: str
    population: float
    population_stderr: float
    free_energy: float
    energy: float
    torsions: list[float]


def conformer_models(samples: DrawableSamples, most: int = MOST_MODELS) -> list[ConformerModel]:
    """The ``most`` most populated conformers of ``samples``."""
    shown = samples.conformers.conformers[:most]
    largest = shown[0].population.value
    rows = [one.representative for one in shown]
    x = main_positions(samples, most)
    rdmol = to_rdkit(samples.molecule, x, [{}] * len(x))
    torsions = torsion_values(x, [one.torsion for one in samples.conformers.torsion_states])
    energies = samples.energies[rows] / KJ_PER_KCAL
    return [
        ConformerModel(
            molblock=Chem.MolToMolBlock(rdmol, confId=number),
            states=one.label,
            population=one.population.value,
            population_stderr=one.population.stderr,
            free_energy=samples.kT / KJ_PER_KCAL * math.log(largest / one.population.value),
            energy=float(energies[number] - energies.min()),
            torsions=np.degrees(torsions[number]).round(1).tolist(),
        )
        for number, one in enumerate(shown)
    ]


def notebook_view(samples: DrawableSamples, most: int = MOST_MODELS, **size: Any) -> py3Dmol.view:
    """The main conformers superposed in a viewer of py3Dmol; ``size``: its ``width`` and ``height``.

    Raises InputError where py3Dmol is not installed.
    """
    try:
        import py3Dmol
    except ImportError as error:
        raise InputError(
            "Molecules in notebooks need py3Dmol: pip install 'boltzgen-conformers[notebook]'."
        ) from error
    view = py3Dmol.view(**size)
    for number, model in enumerate(conformer_models(samples, most)):
        view.addModel(model.molblock, "sdf")
        stick = {"radius": 0.12} if number == 0 else {"radius": 0.07, "opacity": 0.45}
        view.setStyle({"model": number}, {"stick": stick})
    view.zoomTo()
    return view
