"""Embedding ends with the conformers that it has when its time is over."""

import itertools

import numpy as np
import pytest
from rdkit import Chem

from boltzgen.molecules import seeds
from boltzgen.molecules.molecule import Molecule
from boltzgen.molecules.stereo import conformer


def test_seeds_are_fewer_when_their_time_is_over(monkeypatch):
    molecule = Molecule.from_smiles("CCCCO")
    whole = molecule.seed_conformers(40, seed=1)
    assert np.array_equal(molecule.seed_conformers(40, seed=1, seconds=1000.0), whole)
    clock = itertools.count(0.0, 1.0)  # a second between two looks
    monkeypatch.setattr(seeds.time, "monotonic", lambda: next(clock))
    found = molecule.seed_conformers(40, seed=1, seconds=4.5)
    assert 0 < len(found) <= 4 * seeds.EMBEDDED_TOGETHER
    assert len(molecule.seed_conformers(40, seed=1, seconds=0.0)) > 0


PARACYCLOPHANE = "C1Cc2ccc(cc2)CCc2ccc1cc2"
FULLERENE = (
    "c12c3c4c5c1c1c6c7c2c2c8c3c3c9c4c4c%10c5c5c1c1c6c6c%11c7c2c2c7c8c3c3c8c9c4c4c9c%10c5c5c1c1c6c6c%11c2c2c7c3"
    "c3c8c4c4c9c5c1c1c6c2c3c41"
)


@pytest.mark.parametrize("smiles", [PARACYCLOPHANE, FULLERENE])
def test_aromatic_rings_that_are_not_flat_are_embedded_by_distance_geometry_alone(smiles, monkeypatch):
    """ETKDGv3 finds nothing for them in minutes."""
    monkeypatch.setattr(seeds, "EMBEDDING_SECONDS", 1)
    monkeypatch.setattr(seeds, "LEAST_SECONDS", 0.5)
    molecule = Molecule.from_smiles(smiles)
    x = molecule.seed_conformers(2, seed=3)
    i, j = np.array(molecule.bonds).T
    lengths = np.linalg.norm(x[:, i] - x[:, j], axis=-1)
    assert len(x) == 2
    assert lengths.min() > 0.1
    assert lengths.max() < 0.165
    assert molecule.smiles_from_positions(x[0]) == molecule.smiles


def test_no_more_conformers_of_a_file_are_minimised_than_asked_for(monkeypatch):
    molecule = Molecule.from_smiles("CCO")
    rdmol = Chem.Mol(molecule.rdmol)
    for x in molecule.seed_conformers(5, minimise=False):
        rdmol.AddConformer(conformer(x), assignId=True)
    minimised: list[int] = []
    minimise = seeds._minimised
    monkeypatch.setattr(
        seeds, "_minimised", lambda mol, flag: minimised.append(mol.GetNumConformers()) or minimise(mol, flag)
    )
    assert len(Molecule(rdmol).seed_conformers(2)) == 2
    assert minimised == [2]
