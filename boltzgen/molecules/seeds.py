"""Seed conformers: where exploration starts, never what the ensemble is."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from rdkit import Chem, rdBase
from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

from boltzgen.errors import InputError
from boltzgen.molecules.stereo import StereoElements, canonical_smiles, conformer
from boltzgen.units import KJ_PER_KCAL, NM_PER_ANGSTROM

EMBEDDING_ROUNDS = 4
EMBEDDING_ATTEMPTS = 500  # for a conformer; bicyclobutane takes some hundred
MINIMISATION_STEPS = 2000
EMBEDDED_TOGETHER = 4  # what RDKit's time limit holds for: beyond it all of them are lost
LEAST_SECONDS = 2.0  # for the first conformers, however late it is
EMBEDDING_SECONDS = 10  # for a cage that does not close; ordinary ones take milliseconds
MOST_STRAIN = 50.0 * KJ_PER_KCAL  # above the least: MMFF94 has minima that are no conformers


def seed_conformers(
    rdmol: Chem.Mol, n: int, seed: int, minimise: bool = True, seconds: float | None = None
) -> np.ndarray:
    """At most ``n`` conformers [m, atoms, 3] nm float64 that carry the stereo of ``rdmol``.

    Conformers that ``rdmol`` brings along (from its file) come first; ETKDGv3 (Riniker & Landrum 2015;
    Wang 2020) makes the others. All are minimised with MMFF94 where it has parameters, and those dropped
    that minimisation leaves with far more strain than the least strained one. Conformers whose positions do
    not show the molecule's stereo are replaced, the last rounds from random coordinates. What ETKDG finds no
    conformer of is embedded by its distances alone. There are fewer where those of ``seconds`` took so long.
    Raises InputError where none is found.
    """
    if n < 1:
        raise InputError(f"The number of seed conformers must be at least 1, not {n}.")
    if seed < 0:
        raise InputError(f"The random seed must not be negative, but it is {seed}.")
    elements = StereoElements.of(rdmol)
    end = math.inf if seconds is None else time.monotonic() + seconds
    found = [_minimised(_with_first_conformers(rdmol, n), minimise)] if rdmol.GetNumConformers() else []
    embeds = True
    for attempt in range(EMBEDDING_ROUNDS):
        found = [x[elements.kept(x) & np.isfinite(x).all(axis=(1, 2))] for x in found]
        n_found = sum(len(x) for x in found)
        missing = n - n_found
        if missing <= 0 or (n_found and time.monotonic() > end):
            break
        plain = not embeds  # what ETKDG cannot close, distances alone may
        embeds = False
        for batch in _embedded(rdmol, missing, (seed, attempt), plain, end):
            embeds = True
            found.append(_minimised(batch, minimise))
    found = [x[elements.kept(x) & np.isfinite(x).all(axis=(1, 2))] for x in found]
    if not any(len(x) for x in found):
        within = f" within {seconds:.0f} s (a larger --budget gives more)" if time.monotonic() > end else ""
        raise InputError(
            f"RDKit finds{within} no three-dimensional conformer of '{canonical_smiles(rdmol)}' with its"
            " stereo: check the stereo labels or give an .sdf file with positions."
        )
    positions = np.concatenate(found)[:n]
    return positions[_unstrained(rdmol, positions)] if minimise else positions


def _with_first_conformers(rdmol: Chem.Mol, n: int) -> Chem.Mol:
    """A copy of ``rdmol`` with no more than the first ``n`` of its conformers."""
    copy = Chem.Mol(rdmol)
    for surplus in [placed.GetId() for placed in copy.GetConformers()][n:]:
        copy.RemoveConformer(surplus)
    return copy


def _embedded(rdmol: Chem.Mol, n: int, seed: tuple[int, int], plain: bool, end: float) -> Iterator[Chem.Mol]:
    """Copies of ``rdmol`` with up to ``n`` new conformers in all instead of its own, some in each.

    ``seed``: a number and that of the round; later rounds start from random coordinates. ``plain``: by
    distances alone, without ETKDG's knowledge of torsions and flat rings, which C60, paracyclophanes and
    cyclooctyne do not agree with. The first is made in any case, others until ``end`` on the monotonic clock.
    """
    parameters: Any = rdDistGeom.ETKDGv3()  # RDKit's type stubs call its settings constants
    # By default RDKit multiplies the seed with the conformer's number: 0 would make all of them equal, and 1
    # and 2 share every other one.
    parameters.enableSequentialRandomSeeds = True
    parameters.maxIterations = max(EMBEDDING_ATTEMPTS, 10 * rdmol.GetNumAtoms())  # RDKit's own: 10 an atom
    parameters.useRandomCoords = seed[1] >= EMBEDDING_ROUNDS // 2
    parameters.useExpTorsionAnglePrefs = parameters.useBasicKnowledge = not plain
    parameters.clearConfs = True
    parameters.numThreads = 1
    first = int(np.random.SeedSequence(seed).generate_state(1)[0] >> 2)
    copy = Chem.Mol(rdmol)
    copy.RemoveAllConformers()
    if copy.GetNumAtoms() == 1:  # distance geometry needs a distance
        for _ in range(n):
            copy.AddConformer(Chem.Conformer(1), assignId=True)
        yield copy
        return
    for start in range(0, n, EMBEDDED_TOGETHER):
        left = end - time.monotonic()
        if start and left <= 0:
            return
        parameters.timeout = math.ceil(min(max(left, LEAST_SECONDS), EMBEDDING_SECONDS))
        parameters.randomSeed = first + start
        batch = Chem.Mol(copy)
        with rdBase.BlockLogs():
            rdDistGeom.EmbedMultipleConfs(batch, min(EMBEDDED_TOGETHER, n - start), parameters)
        if batch.GetNumConformers() == 0:
            return
        yield batch


def _unstrained(rdmol: Chem.Mol, positions: np.ndarray) -> np.ndarray:
    """Which of ``positions`` [n, atoms, 3] are within ``MOST_STRAIN`` of the least strained: bool [n].

    Strain is MMFF94's energy without electrostatics, which a solvent may screen.
    """
    with rdBase.BlockLogs():
        properties = rdForceFieldHelpers.MMFFGetMoleculeProperties(rdmol)
    if properties is None or rdmol.GetNumAtoms() == 1:
        return np.ones(len(positions), dtype=bool)
    properties.SetMMFFEleTerm(False)
    copy = Chem.Mol(rdmol)
    copy.RemoveAllConformers()
    copy.AddConformer(conformer(positions[0]))
    field = rdForceFieldHelpers.MMFFGetMoleculeForceField(copy, properties)
    strain = [field.CalcEnergy((x / NM_PER_ANGSTROM).ravel().tolist()) for x in positions]
    return np.array(strain) * KJ_PER_KCAL < min(strain) * KJ_PER_KCAL + MOST_STRAIN


def _minimised(rdmol: Chem.Mol, minimise: bool) -> np.ndarray:
    """Positions [conformers, atoms, 3] nm of the conformers, relaxed where MMFF94 knows every atom."""
    copy = Chem.Mol(rdmol)
    with rdBase.BlockLogs():
        if (
            minimise
            and copy.GetNumConformers()
            and copy.GetNumAtoms() > 1
            and rdForceFieldHelpers.MMFFHasAllMoleculeParams(copy)
        ):
            rdForceFieldHelpers.MMFFOptimizeMoleculeConfs(copy, numThreads=1, maxIters=MINIMISATION_STEPS)
    positions = [conformer.GetPositions() for conformer in copy.GetConformers()]
    return np.array(positions, dtype=np.float64).reshape(-1, copy.GetNumAtoms(), 3) * NM_PER_ANGSTROM
