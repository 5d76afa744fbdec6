#!/usr/bin/env python
"""Makes the structures (and the toys' energies) in systems/ from nothing but sequences and SMILES.

    python scripts/make_systems.py            # writes systems/*/structure.pdb, structure.sdf, system.xml

Each peptide is built by RDKit, then minimised by OpenMM in its own force field. The files are committed; run
this again only to change a system, then update the snapshot in tests/test_systems.py.
"""

from dataclasses import dataclass
from pathlib import Path

import mdtraj
import numpy as np
import openmm
from openmm import app, unit
from rdkit import Chem

from boltzgen.forcefields.parametrise import parametrise
from boltzgen.molecules.molecule import Molecule
from boltzgen.molecules.stereo import conformer
from boltzgen.systems import describe_system

SYSTEMS = Path(__file__).parents[1] / "systems"
SEQUENCES = {
    "alanine-dipeptide": "ACE-ALA-NME",
    "alanine-dipeptide-vacuum": "ACE-ALA-NME",
    "alanine-tetrapeptide": "ACE-ALA-ALA-ALA-NME",
    "alanine-hexapeptide": "ACE-ALA-ALA-ALA-ALA-ALA-NME",
    "chignolin": "GLY-TYR-ASP-PRO-GLU-THR-GLY-THR-TRP-GLY",
}
PI = np.pi


@dataclass(frozen=True)
class Toy:
    """A molecule with bonded terms only: nm, radian, kJ/mol; phases 0 or π make mirror images equal."""

    smiles: str
    bonds: tuple  # (i, j, length, stiffness)
    angles: tuple  # (i, j, k, angle, stiffness)
    torsions: tuple  # (i, j, k, l, periodicity, phase, barrier)
    spokes: tuple = ()  # (i, axis, axis, l, stiffness): keeps the azimuths of i and l 120° apart


TOYS = {
    # H–O–O–O–O–H, an unbranched chain.
    "bonded-toy": Toy(
        smiles="OOOO",
        bonds=(
            (4, 0, 0.097, 250_000),
            (0, 1, 0.145, 150_000),
            (1, 2, 0.150, 120_000),
            (2, 3, 0.145, 150_000),
            (3, 5, 0.097, 250_000),
        ),
        angles=((4, 0, 1, 1.75, 350), (0, 1, 2, 1.90, 450), (1, 2, 3, 1.95, 400), (2, 3, 5, 1.80, 300)),
        torsions=(
            (4, 0, 1, 2, 1, 0, 2),
            (4, 0, 1, 2, 2, 0, 5),
            (0, 1, 2, 3, 1, PI, 3),
            (0, 1, 2, 3, 3, 0, 6),
            (1, 2, 3, 5, 2, PI, 4),
        ),
    ),
    # H₃C–O–O–H: a symmetric rotor at the end of a chain.
    "bonded-toy-rotor": Toy(
        smiles="COO",
        bonds=(
            (0, 1, 0.142, 150_000),
            (1, 2, 0.146, 140_000),
            (2, 6, 0.097, 250_000),
            (0, 3, 0.109, 200_000),
            (0, 4, 0.109, 200_000),
            (0, 5, 0.109, 200_000),
        ),
        angles=(
            (0, 1, 2, 1.85, 450),
            (1, 2, 6, 1.75, 350),
            (1, 0, 3, 1.91, 400),
            (1, 0, 4, 1.91, 400),
            (1, 0, 5, 1.91, 400),
        ),
        torsions=(
            (0, 1, 2, 6, 1, PI, 3),
            (0, 1, 2, 6, 2, 0, 4),
            (2, 1, 0, 3, 3, 0, 2),
            (2, 1, 0, 4, 3, 0, 2),
            (2, 1, 0, 5, 3, 0, 2),
        ),
        spokes=((3, 0, 1, 4, 300), (4, 0, 1, 5, 300), (5, 0, 1, 3, 300)),
    ),
}


def minimised(system: openmm.System, positions: np.ndarray) -> np.ndarray:
    """Positions [atoms, 3] nm of the nearest minimum."""
    context = openmm.Context(
        system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference")
    )
    context.setPositions(positions)
    openmm.LocalEnergyMinimizer.minimize(context, tolerance=0.1)
    found = context.getState(getPositions=True).getPositions(asNumpy=True).value_in_unit(unit.nanometer)
    return found - found.mean(axis=0)


def make_peptide(name: str, sequence: str) -> None:
    molecule = Molecule.from_sequence(sequence)
    description = describe_system(name)
    system = parametrise(molecule, description.forcefield, description.solvent)
    seeds = molecule.seed_conformers(20, seed=1)
    peptide_bonds = mdtraj.compute_omega(mdtraj.Trajectory(seeds, molecule.to_mdtraj_topology()))[1]
    trans = np.all(np.abs(peptide_bonds) > np.radians(150), axis=1)  # proline has cis ones too
    positions = minimised(system, seeds[trans][0])
    if not molecule.keeps_stereo(positions[None])[0]:
        raise RuntimeError(f"{name}: minimisation inverted a centre")
    with (SYSTEMS / name / description.structure).open("w") as file:
        app.PDBFile.writeFile(molecule.to_openmm_topology(), positions * unit.nanometer, file, keepIds=True)


def make_toy(name: str, toy: Toy) -> None:
    molecule = Molecule.from_smiles(toy.smiles)
    system = openmm.System()
    for mass in molecule.masses:
        system.addParticle(float(mass))
    bonds, angles = openmm.HarmonicBondForce(), openmm.HarmonicAngleForce()
    torsions = openmm.PeriodicTorsionForce()
    spokes = openmm.CustomTorsionForce("stiffness*(cos(theta) + 0.5)^2")
    spokes.addPerTorsionParameter("stiffness")
    for row in toy.bonds:
        bonds.addBond(*row)
    for row in toy.angles:
        angles.addAngle(*row)
    for row in toy.torsions:
        torsions.addTorsion(*row)
    for *atoms, stiffness in toy.spokes:
        spokes.addTorsion(*atoms, [stiffness])
    for force in (bonds, angles, torsions, *([spokes] if toy.spokes else [])):
        system.addForce(force)
    folder = SYSTEMS / name
    (folder / "system.xml").write_text(openmm.XmlSerializer.serialize(system))
    rdmol = Chem.Mol(molecule.rdmol)
    rdmol.AddConformer(conformer(minimised(system, molecule.seed_conformers(1, seed=1)[0])), assignId=True)
    rdmol.SetProp("_Name", name)
    with Chem.SDWriter(str(folder / "structure.sdf")) as writer:
        writer.write(rdmol)


if __name__ == "__main__":
    for name, sequence in SEQUENCES.items():
        make_peptide(name, sequence)
    for name, toy in TOYS.items():
        make_toy(name, toy)
