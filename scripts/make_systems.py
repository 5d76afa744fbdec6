#!/usr/bin/env python
"""Makes the structures (and the toy's energy) in systems/ from nothing but sequences and a SMILES.

    python scripts/make_systems.py            # writes systems/*/structure.pdb, structure.sdf, system.xml

Each peptide is built by RDKit, then minimised by OpenMM in its own force field. The files are committed; run
this again only to change a system, then update the snapshot in tests/test_systems.py.
"""

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
# The toy: O–O–O–O with hydrogens at its ends, an unbranched chain.
TOY_SMILES = "OOOO"
TOY_CHAIN = (4, 0, 1, 2, 3, 5)
TOY_BONDS = (
    (0.097, 250_000.0),
    (0.145, 150_000.0),
    (0.150, 120_000.0),
    (0.145, 150_000.0),
    (0.097, 250_000.0),
)
TOY_ANGLES = ((1.75, 350.0), (1.90, 450.0), (1.95, 400.0), (1.80, 300.0))  # radian, kJ/(mol rad²)
TOY_TORSIONS = (  # (periodicity, phase, kJ/mol), one row a torsion
    ((1, 0.0, 2.0), (2, 0.0, 5.0)),
    ((1, 0.5, 3.0), (3, 0.0, 6.0)),
    ((2, 1.0, 4.0),),
)


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


def make_toy() -> None:
    molecule = Molecule.from_smiles(TOY_SMILES)
    system = openmm.System()
    for mass in molecule.masses:
        system.addParticle(float(mass))
    bonds, angles, torsions = (
        openmm.HarmonicBondForce(),
        openmm.HarmonicAngleForce(),
        openmm.PeriodicTorsionForce(),
    )
    for k, (length, stiffness) in enumerate(TOY_BONDS):
        bonds.addBond(*TOY_CHAIN[k : k + 2], length, stiffness)
    for k, (angle, stiffness) in enumerate(TOY_ANGLES):
        angles.addAngle(*TOY_CHAIN[k : k + 3], angle, stiffness)
    for k, terms in enumerate(TOY_TORSIONS):
        for term in terms:
            torsions.addTorsion(*TOY_CHAIN[k : k + 4], *term)
    for force in (bonds, angles, torsions):
        system.addForce(force)
    folder = SYSTEMS / "bonded-toy"
    (folder / "system.xml").write_text(openmm.XmlSerializer.serialize(system))
    rdmol = Chem.Mol(molecule.rdmol)
    rdmol.AddConformer(conformer(minimised(system, molecule.seed_conformers(1, seed=1)[0])), assignId=True)
    rdmol.SetProp("_Name", "bonded-toy")
    with Chem.SDWriter(str(folder / "structure.sdf")) as writer:
        writer.write(rdmol)


if __name__ == "__main__":
    for name, sequence in SEQUENCES.items():
        make_peptide(name, sequence)
    make_toy()
