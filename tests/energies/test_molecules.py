"""Real molecules: every force equals OpenMM's Reference platform, relaxed, distorted and clashing."""

from pathlib import Path

import numpy as np
import pytest
import torch

from boltzgen.energies.compiler import compile_system
from boltzgen.forcefields.mmff import mmff_system
from boltzgen.forcefields.solvent import SOLVENTS
from boltzgen.molecules.molecule import Molecule
from boltzgen.systems import build_system, load_system, system_names

from .oracle import assert_equal_to_openmm, batch_last, interpolates, single_force_systems

LINES = (Path(__file__).parents[1] / "molecules.smi").read_text().splitlines()
MOLECULES = {name: smiles for smiles, name in (line.split() for line in LINES if line.strip())}


def check(system, conformers, compiled, seed=0):
    """Each force and their sum on relaxed, distorted and clashing positions."""
    noise = np.random.default_rng(seed).normal(size=(4, *conformers.shape[1:]))
    positions = np.concatenate(
        [conformers, conformers[0] + 0.01 * noise[:2], conformers[0] + 0.05 * noise[2:], 0.3 * noise]
    )
    for part in [*single_force_systems(system), system]:
        tolerance = 1e-7 if any(map(interpolates, part.getForces())) else 1e-9
        assert_equal_to_openmm(compile_system(part, compiled=compiled), part, positions, tolerance)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name", ["butane", "alanine-dipeptide", "butynenitrile", "aspirin"])
def test_every_force_equals_openmm(name, compiled):
    molecule = Molecule.from_smiles(MOLECULES[name])
    check(mmff_system(molecule), molecule.seed_conformers(2, seed=1), compiled)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(MOLECULES) - {"hydrogen"}))  # MMFF has no H–H bond
def test_every_molecule_equals_openmm(name):
    molecule = Molecule.stereoisomers(MOLECULES[name])[0]
    check(mmff_system(molecule), molecule.seed_conformers(3, seed=2), compiled=True, seed=2)


@pytest.mark.slow
@pytest.mark.parametrize("solvent", SOLVENTS)
@pytest.mark.parametrize("name", ["ibuprofen", "methyl-phosphate"])
def test_every_solvent_equals_openmm(name, solvent):
    molecule = Molecule.from_smiles(MOLECULES[name])
    system = build_system(molecule, "mmff94", solvent).system
    check(system, molecule.seed_conformers(3, seed=2), compiled=True, seed=2)


@pytest.mark.slow
@pytest.mark.parametrize("name", system_names())
def test_every_named_system_equals_openmm(name):
    molecular = load_system(name)
    check(molecular.system, molecular.molecule.seed_conformers(2, seed=2), compiled=True, seed=2)


@pytest.mark.parametrize("forcefield", ["ff14sb", "ff19sb"])
def test_peptide_force_fields_equal_openmm(forcefield):
    molecule = Molecule.from_sequence("ACE-ALA-NME")
    system = build_system(molecule, forcefield, "obc2").system
    check(system, molecule.seed_conformers(2, seed=2), compiled=True)


@pytest.mark.parametrize("name", ["alanine-dipeptide", "aspirin"])
def test_single_precision_forces_of_thermal_frames_are_good_to_1e_5(name):
    """Relative to the norm of each frame's forces."""
    molecule = Molecule.from_smiles(MOLECULES[name])
    conformers = molecule.seed_conformers(4, seed=1)
    noise = np.random.default_rng(3).normal(size=(64, *conformers.shape[1:]))
    frames = np.concatenate([x + 0.003 * noise for x in conformers])
    x = batch_last(frames, torch.float32)
    energy = compile_system(mmff_system(molecule), compiled=True)
    _, single = energy.energy_and_gradient(x)
    _, double = energy.energy_and_gradient(x.double())
    error = (single.double() - double).norm(dim=(0, 1)) / double.norm(dim=(0, 1))
    assert float(error.max()) <= 1e-5
