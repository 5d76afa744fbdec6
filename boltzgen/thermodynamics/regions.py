"""Regions of configurations that a person names: torsions, distances and angles within bounds.

    gauche: torsion 0-1-2-3 in [-120, 120]

A region is a name, a colon and one or more conditions joined by "and". A condition measures atoms, counted
from 0: ``torsion I-J-K-L`` and ``angle I-J-K`` in degrees, ``distance I-J`` in nm; or a SMARTS whose
two, three or four atoms are measured likewise. A torsion's bounds may run through 180°: ``in [150, 210]``.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from rdkit import Chem, rdBase

from boltzgen.errors import InputError
from boltzgen.molecules.dihedrals import dihedrals
from boltzgen.molecules.molecule import Molecule

CONDITION = re.compile(r"\s*(?P<what>.+?)\s+in\s+\[\s*(?P<low>[-+.\d]+)\s*,\s*(?P<high>[-+.\d]+)\s*\]\s*")
ATOMS = re.compile(r"(?P<kind>torsion|angle|distance)\s+(?P<atoms>\d+(?:-\d+)+)")
SIZES = {"distance": 2, "angle": 3, "torsion": 4}
HELP = 'write one like "gauche: torsion 0-1-2-3 in [-120, 120]"'


@dataclass(frozen=True)
class Condition:
    """``kind`` of ``atoms`` within ``low`` and ``high``: degrees, or nm for distances."""

    kind: str
    atoms: tuple[int, ...]
    low: float
    high: float

    def holds(self, positions: Float[np.ndarray, "n atoms 3"]) -> Bool[np.ndarray, " n"]:
        """Whether each of ``positions`` (nm) meets the condition."""
        points = [positions[:, atom].astype(np.float64) for atom in self.atoms]
        if self.kind == "distance":
            values = np.linalg.norm(points[1] - points[0], axis=1)
            return (values >= self.low) & (values <= self.high)
        if self.kind == "angle":
            a, b = points[0] - points[1], points[2] - points[1]
            cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
            values = np.degrees(np.arccos(cosine.clip(-1, 1)))
            return (values >= self.low) & (values <= self.high)
        turned = np.mod(np.degrees(dihedrals(*points)) - self.low, 360.0)
        return turned <= self.high - self.low


@dataclass(frozen=True)
class Region:
    """Configurations that meet all ``conditions``."""

    name: str
    conditions: tuple[Condition, ...]

    def holds(self, positions: Float[np.ndarray, "n atoms 3"]) -> Bool[np.ndarray, " n"]:
        """Whether each of ``positions`` (nm) is in the region."""
        return np.all([condition.holds(positions) for condition in self.conditions], axis=0)


def parse_region(text: str, molecule: Molecule) -> Region:
    """The region that ``text`` describes. Raises InputError saying what is wrong with it."""
    name, colon, rest = text.partition(":")
    if not colon or not name.strip() or not rest.strip():
        raise InputError(f"'{text}' is no region: {HELP}.")
    conditions = tuple(_condition(part, molecule) for part in re.split(r"\s+and\s+", rest))
    return Region(name.strip(), conditions)


def _condition(text: str, molecule: Molecule) -> Condition:
    found = CONDITION.fullmatch(text)
    if not found:
        raise InputError(f"'{text.strip()}' is no condition on a region: {HELP}.")
    kind, atoms = _atoms(found["what"], molecule)
    try:
        low, high = float(found["low"]), float(found["high"])
    except ValueError as error:
        raise InputError(f"'{text.strip()}' has no numbers as bounds: {HELP}.") from error
    if not low < high or not math.isfinite(high - low):
        raise InputError(f"The bounds of '{text.strip()}' do not ascend: {HELP}.")
    return Condition(kind, atoms, low, high)


def _atoms(what: str, molecule: Molecule) -> tuple[str, tuple[int, ...]]:
    """What is measured, of which atoms."""
    named = ATOMS.fullmatch(what)
    if named:
        atoms = tuple(int(atom) for atom in named["atoms"].split("-"))
        if len(atoms) != SIZES[named["kind"]] or len(set(atoms)) < len(atoms):
            raise InputError(
                f"A {named['kind']} has {SIZES[named['kind']]} atoms, not '{named['atoms']}': {HELP}."
            )
        if max(atoms) >= molecule.n_atoms:
            raise InputError(
                f"'{what}' names atom {max(atoms)}; '{molecule.smiles}' has atoms 0 to"
                f" {molecule.n_atoms - 1}."
            )
        return named["kind"], atoms
    with rdBase.BlockLogs():
        pattern = Chem.MolFromSmarts(what)
    if pattern is None:
        raise InputError(f"'{what}' is neither a torsion, angle or distance of atoms nor a SMARTS: {HELP}.")
    matches = molecule.rdmol.GetSubstructMatches(pattern)
    if len(matches) != 1:
        raise InputError(
            f"The SMARTS '{what}' matches {len(matches)} places of '{molecule.smiles}': give one that matches"
            " a single one, or the atoms by number."
        )
    kind = {size: kind for kind, size in SIZES.items()}.get(len(matches[0]))
    if kind is None:
        raise InputError(f"The SMARTS '{what}' has {len(matches[0])} atoms; give one of two, three or four.")
    return kind, tuple(matches[0])
