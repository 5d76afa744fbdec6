"""MMFF94 systems: every force equals OpenMM's Reference platform, relaxed, distorted and clashing."""

from pathlib import Path

import numpy as np
import pytest

from boltzgen.energies.compiler import compile_system
from boltzgen.forcefields.mmff import mmff_system
from boltzgen.molecules.molecule import Molecule

from .oracle import assert_equal_to_openmm, single_force_systems

LINES = (Path(__file__).parents[1] / "molecules.smi").read_text().splitlines()
MOLECULES = {name: smiles for smiles, name in (line.split() for line in LINES if line.strip())}


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name", ["butane", "alanine-dipeptide", "butynenitrile", "aspirin"])
def test_every_force_equals_openmm(name, compiled):
    molecule = Molecule.from_smiles(MOLECULES[name])
    system = mmff_system(molecule)
    relaxed = molecule.seed_conformers(2, seed=1)
    noise = np.random.default_rng(0).normal(size=(4, *relaxed.shape[1:]))
    positions = np.concatenate(
        [relaxed, relaxed[0] + 0.01 * noise[:2], relaxed[0] + 0.05 * noise[2:], 0.3 * noise]
    )
    for part in [*single_force_systems(system), system]:
        assert_equal_to_openmm(compile_system(part, compiled=compiled), part, positions)
