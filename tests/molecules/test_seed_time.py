"""Embedding ends with the conformers that it has when its time is over."""

import itertools

import numpy as np

from boltzgen.molecules import seeds
from boltzgen.molecules.molecule import Molecule


def test_seeds_are_fewer_when_their_time_is_over(monkeypatch):
    molecule = Molecule.from_smiles("CCCCO")
    whole = molecule.seed_conformers(40, seed=1)
    assert np.array_equal(molecule.seed_conformers(40, seed=1, seconds=1000.0), whole)
    clock = itertools.count(0.0, 1.0)  # a second between two looks
    monkeypatch.setattr(seeds.time, "monotonic", lambda: next(clock))
    found = molecule.seed_conformers(40, seed=1, seconds=4.5)
    assert 0 < len(found) <= 4 * seeds.EMBEDDED_TOGETHER
    assert len(molecule.seed_conformers(40, seed=1, seconds=0.0)) > 0
