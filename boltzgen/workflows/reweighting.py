"""A finished run at the level of theory of another program, from that program's energies of its samples."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from boltzgen.ensemble import Ensemble
from boltzgen.errors import InputError
from boltzgen.evaluation.convergence import judge
from boltzgen.files.given import read_text
from boltzgen.records.run import LevelStep
from boltzgen.units import ELECTRONVOLT, HARTREE, KJ_PER_KCAL
from boltzgen.workflows.diagnostics import main_conformers

MOST_MEGABYTES = 200.0
COLUMNS = {
    "energy_kJ_mol": 1.0,
    "energy_kcal_mol": KJ_PER_KCAL,
    "energy_hartree": HARTREE,
    "energy_eV": ELECTRONVOLT,
}
"""Columns of energies by name, and kJ/mol in one unit of each."""


def read_energies(path: str | Path) -> tuple[Float[np.ndarray, " rows"], Int[np.ndarray, " rows"] | None]:
    """Energies in kJ/mol of a CSV file, and the samples they are of where it has a column ``sample``.

    Its first line names the columns: one of ``COLUMNS``, and ``sample`` with indices from 0. An energy that
    was not found is left empty or is nan, and becomes nan. Raises InputError.
    """
    rows = list(csv.DictReader(read_text(path, MOST_MEGABYTES).splitlines()))
    names = [name for name in COLUMNS if rows and name in rows[0]]
    if len(names) != 1:
        raise InputError(f"'{path}' needs one column of energies: {' or '.join(COLUMNS)} in its first line.")
    try:
        energies = [float(row[names[0]] or math.nan) * COLUMNS[names[0]] for row in rows]
        samples = [int(row["sample"]) for row in rows] if "sample" in rows[0] else None
    except (TypeError, ValueError) as error:
        raise InputError(f"'{path}' holds something else than numbers: {error}.") from error
    return np.array(energies), None if samples is None else np.array(samples)


def reweighted_run(folder: str | Path, energies: str | Path, level: str | None = None) -> Ensemble:
    """The ensemble in ``folder`` with the energies of a CSV file.

    Parameters
    ----------
    folder
        Of a finished run or a reference.
    energies
        A file as ``read_energies`` takes it.
    level
        What the energies are of, by default the file's name.

    Returns
    -------
    Ensemble
        Judged anew: converged or not, with warnings and, for a run, main conformers.
    """
    ensemble = Ensemble.load(folder)
    values, samples = read_energies(energies)
    found = ensemble.reweight(values, samples)
    facts = dict(ensemble.metadata)
    verdict = judge(found.effective_sample_size, found.pareto_k, facts.get("missed_frame_share") or 0.0)
    note = f"weights are those of {energies} in place of {facts.get('forcefield')}, {facts.get('solvent')}"
    facts |= {
        "forcefield": level or Path(energies).name,
        "solvent": "as in the file",
        "converged": verdict.converged,
        "warnings": [note, *verdict.warnings],
    }
    if facts.get("kind") == "sample":
        facts |= _sample_facts(found, Path(energies), ensemble)
    return replace(found, metadata=facts)


def _sample_facts(found: Ensemble, energies: Path, before: Ensemble) -> Mapping[str, Any]:
    step = LevelStep(
        step=f"reweighted by {energies.name}",
        seconds=0.0,
        evaluations=len(found),
        n_samples=len(found),
        effective_sample_size_fraction=found.effective_sample_size_fraction,
        pareto_k=found.pareto_k,
    )
    return {
        "main_conformers": [conformer.model_dump() for conformer in main_conformers(found)],
        "level_steps": [*(before.metadata.get("level_steps") or ()), step.model_dump()],
    }
