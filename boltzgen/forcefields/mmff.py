"""MMFF94 and MMFF94s as an ``openmm.System``: one named force for each term of the force field.

Formulas: T. A. Halgren, J. Comput. Chem. 17 (1996) 490–519, 553–586 and 20 (1999) 720–729, with the constants
of RDKit's implementation, whose typing and parameters are used. Lengths nm, energies kJ/mol, angles radians.
"""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import openmm
from rdkit import Chem, rdBase
from rdkit.Chem import rdForceFieldHelpers
from rdkit.ForceField.rdForceField import MMFFMolProperties

from boltzgen.errors import InputError
from boltzgen.molecules.molecule import Molecule
from boltzgen.units import KJ_PER_KCAL, NM_PER_ANGSTROM

Angles = list[tuple[int, int, int]]

VARIANTS = ("MMFF94", "MMFF94s")
ELEMENTS = frozenset(
    ("H", "C", "N", "O", "F", "Si", "P", "S", "Cl", "Br", "I", "Li", "Na", "K", "Mg", "Ca", "Fe", "Cu", "Zn")
)
LINEAR_TYPES = (4, 53, 61)  # CSP, =N=, NR%: the types MMFFPROP.PAR marks as linear

MDYNE_ANGSTROM = 143.9325 * KJ_PER_KCAL  # kJ/mol in one mdyn·Å
COULOMB = 332.0716 * KJ_PER_KCAL * NM_PER_ANGSTROM  # kJ nm/(mol e²), MMFF's own value
ELECTROSTATIC_BUFFER = 0.05 * NM_PER_ANGSTROM
ONE_FOUR_ELECTROSTATICS = 0.75
CUBIC_BEND = -0.006981317 * 180 / math.pi  # 1/rad
CUBIC_STRETCH = -2.0 / NM_PER_ANGSTROM  # 1/nm

STRETCH = f"k*d^2*(1 + ({CUBIC_STRETCH!r})*d + {7 / 12 * CUBIC_STRETCH**2!r}*d^2); d = r - length"
BEND = f"k*d^2*(1 + ({CUBIC_BEND!r})*d); d = theta - angle0"
# The cosine from distances is smooth where the angle itself is not: in the straight equilibrium.
LINEAR_BEND = (
    "k*(1 + cosine); cosine = (a^2 + b^2 - distance(p1,p3)^2)/(2*a*b);"
    "a = distance(p1,p2); b = distance(p2,p3)"
)
STRETCH_BEND = "(k1*(distance(p1,p2) - length1) + k2*(distance(p2,p3) - length2))*(angle(p1,p2,p3) - angle0)"
TORSION = "v1*(1 + cos(theta)) + v2*(1 - cos(2*theta)) + v3*(1 + cos(3*theta))"
# Wilson's angle of one bond with the plane of the other two, for each bond of the centre p1: its sine is the
# triple product over the bond's length and the length of the others' cross product. The bounds keep the
# gradient finite for a bond at a right angle to the plane (1 − 1e-6) and for two bonds in line (1e-16 nm⁴).
OUT_OF_PLANE = (
    "k*(asin(limited2)^2 + asin(limited3)^2 + asin(limited4)^2);"
    "limited2 = max(-0.999999, min(0.999999, volume/(r2*n34)));"
    "limited3 = max(-0.999999, min(0.999999, volume/(r3*n42)));"
    "limited4 = max(-0.999999, min(0.999999, volume/(r4*n23)));"
    "volume = a1*u1 + a2*u2 + a3*u3;"
    "n34 = sqrt(u1^2 + u2^2 + u3^2 + 1e-16);"
    "n42 = sqrt((c2*a3 - c3*a2)^2 + (c3*a1 - c1*a3)^2 + (c1*a2 - c2*a1)^2 + 1e-16);"
    "n23 = sqrt((a2*b3 - a3*b2)^2 + (a3*b1 - a1*b3)^2 + (a1*b2 - a2*b1)^2 + 1e-16);"
    "u1 = b2*c3 - b3*c2; u2 = b3*c1 - b1*c3; u3 = b1*c2 - b2*c1;"
    "r2 = sqrt(a1^2 + a2^2 + a3^2); r3 = sqrt(b1^2 + b2^2 + b3^2); r4 = sqrt(c1^2 + c2^2 + c3^2);"
    "a1 = x2 - x1; a2 = y2 - y1; a3 = z2 - z1;"
    "b1 = x3 - x1; b2 = y3 - y1; b3 = z3 - z1;"
    "c1 = x4 - x1; c2 = y4 - y1; c3 = z4 - z1"
)
PAIR = (
    "epsilon*(1.07/(rho + 0.07))^7*(1.12/(rho^7 + 0.12) - 2) + charges/(r + "
    f"{ELECTROSTATIC_BUFFER!r}); rho = r/radius"
)


def mmff_system(molecule: Molecule, variant: str = "MMFF94") -> openmm.System:
    """The force field of ``molecule`` in vacuum, without constraints or cutoff.

    Raises InputError for an unknown variant and where MMFF has no type for an atom.
    """
    if variant not in VARIANTS:
        raise InputError(f"Unknown MMFF variant '{variant}': give one of {', '.join(VARIANTS)}.")
    properties = mmff_properties(molecule, variant)
    rdmol = molecule.rdmol
    system = openmm.System()
    for mass in molecule.masses:
        system.addParticle(float(mass))
    angles = [
        (first.GetIdx(), centre.GetIdx(), last.GetIdx())
        for centre in rdmol.GetAtoms()
        for first, last in combinations(centre.GetNeighbors(), 2)
    ]
    for force in (
        _stretches(rdmol, properties),
        *_bends(rdmol, properties, angles),
        _stretch_bends(rdmol, properties, angles),
        _out_of_plane(rdmol, properties),
        _torsions(rdmol, properties),
        _pairs(rdmol, properties),
    ):
        if _size(force) > 0:
            system.addForce(force)
    return system


def mmff_properties(molecule: Molecule, variant: str = "MMFF94") -> MMFFMolProperties:
    """RDKit's MMFF types and parameters of ``molecule``; InputError where some have none."""
    with rdBase.BlockLogs():
        properties = rdForceFieldHelpers.MMFFGetMoleculeProperties(molecule.rdmol, mmffVariant=variant)
    if properties is None:
        symbols = {atom.GetSymbol() for atom in molecule.rdmol.GetAtoms()}
        reason = (
            f"element {', '.join(sorted(symbols - ELEMENTS))}" if symbols - ELEMENTS else "bonding pattern"
        )
        raise InputError(
            f"{variant} has no parameters for the {reason} of '{molecule.smiles}': try another force field."
        )
    return properties


def mmff_charges(molecule: Molecule) -> np.ndarray:
    """MMFF's partial charges [atoms], in units of e."""
    properties = mmff_properties(molecule)
    return np.array([properties.GetMMFFPartialCharge(i) for i in range(molecule.n_atoms)])


def _size(force: openmm.Force) -> int:
    for count in ("getNumBonds", "getNumAngles", "getNumTorsions"):
        if hasattr(force, count):
            return getattr(force, count)()
    raise TypeError(type(force).__name__)


def _stretches(rdmol: Chem.Mol, properties: MMFFMolProperties) -> openmm.Force:
    force = openmm.CustomBondForce(STRETCH)
    force.setName("bond stretch")
    force.addPerBondParameter("k")
    force.addPerBondParameter("length")
    for bond in rdmol.GetBonds():
        i, j = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        _, k, length = properties.GetMMFFBondStretchParams(rdmol, i, j)
        force.addBond(i, j, [MDYNE_ANGSTROM / 2 * k / NM_PER_ANGSTROM**2, length * NM_PER_ANGSTROM])
    return force


def _is_linear(properties: MMFFMolProperties, atom: int) -> bool:
    return properties.GetMMFFAtomType(atom) in LINEAR_TYPES


def _bends(
    rdmol: Chem.Mol, properties: MMFFMolProperties, angles: Angles
) -> tuple[openmm.Force, openmm.Force]:
    bend = openmm.CustomAngleForce(BEND)
    bend.setName("angle bend")
    bend.addPerAngleParameter("k")
    bend.addPerAngleParameter("angle0")
    linear = openmm.CustomCompoundBondForce(3, LINEAR_BEND)
    linear.setName("linear angle bend")
    linear.addPerBondParameter("k")
    for i, j, k in angles:
        parameters = properties.GetMMFFAngleBendParams(rdmol, i, j, k)
        if parameters is None:
            continue
        _, stiffness, angle = parameters
        if _is_linear(properties, j):
            linear.addBond([i, j, k], [MDYNE_ANGSTROM * stiffness])
        else:
            bend.addAngle(i, j, k, [MDYNE_ANGSTROM / 2 * stiffness, math.radians(angle)])
    return bend, linear


def _stretch_bends(rdmol: Chem.Mol, properties: MMFFMolProperties, angles: Angles) -> openmm.Force:
    force = openmm.CustomCompoundBondForce(3, STRETCH_BEND)
    force.setName("stretch-bend")
    for name in ("k1", "k2", "length1", "length2", "angle0"):
        force.addPerBondParameter(name)
    for i, j, k in angles:
        parameters = properties.GetMMFFStretchBendParams(rdmol, i, j, k)
        if parameters is None or _is_linear(properties, j):
            continue
        _, k1, k2 = parameters
        length1 = properties.GetMMFFBondStretchParams(rdmol, i, j)[2] * NM_PER_ANGSTROM
        length2 = properties.GetMMFFBondStretchParams(rdmol, j, k)[2] * NM_PER_ANGSTROM
        angle = math.radians(properties.GetMMFFAngleBendParams(rdmol, i, j, k)[2])
        scale = MDYNE_ANGSTROM / NM_PER_ANGSTROM
        force.addBond([i, j, k], [scale * k1, scale * k2, length1, length2, angle])
    return force


def _out_of_plane(rdmol: Chem.Mol, properties: MMFFMolProperties) -> openmm.Force:
    force = openmm.CustomCompoundBondForce(4, OUT_OF_PLANE)
    force.setName("out-of-plane bend")
    force.addPerBondParameter("k")
    for centre in rdmol.GetAtoms():
        if centre.GetDegree() != 3:
            continue
        j = centre.GetIdx()
        i, k, l = (atom.GetIdx() for atom in centre.GetNeighbors())
        stiffness = properties.GetMMFFOopBendParams(rdmol, i, j, k, l)
        if stiffness:
            force.addBond([j, i, k, l], [MDYNE_ANGSTROM / 2 * stiffness])
    return force


def _torsions(rdmol: Chem.Mol, properties: MMFFMolProperties) -> openmm.Force:
    force = openmm.CustomTorsionForce(TORSION)
    force.setName("torsion")
    for name in ("v1", "v2", "v3"):
        force.addPerTorsionParameter(name)
    for bond in rdmol.GetBonds():
        j, k = bond.GetBeginAtom(), bond.GetEndAtom()
        for i in j.GetNeighbors():
            for l in k.GetNeighbors():
                atoms = (i.GetIdx(), j.GetIdx(), k.GetIdx(), l.GetIdx())
                if len(set(atoms)) < 4:
                    continue
                parameters = properties.GetMMFFTorsionParams(rdmol, *atoms)
                if parameters is not None and any(parameters[1:]):
                    force.addTorsion(*atoms, [KJ_PER_KCAL / 2 * v for v in parameters[1:]])
    return force


def _pairs(rdmol: Chem.Mol, properties: MMFFMolProperties) -> openmm.Force:
    force = openmm.CustomBondForce(PAIR)
    force.setName("van der Waals and electrostatics")
    for name in ("epsilon", "radius", "charges"):
        force.addPerBondParameter(name)
    separation = Chem.GetDistanceMatrix(rdmol)
    for i, j in combinations(range(rdmol.GetNumAtoms()), 2):
        if separation[i, j] < 3:
            continue
        _, _, radius, epsilon = properties.GetMMFFVdWParams(i, j)
        charges = COULOMB * properties.GetMMFFPartialCharge(i) * properties.GetMMFFPartialCharge(j)
        if separation[i, j] == 3:
            charges *= ONE_FOUR_ELECTROSTATICS
        force.addBond(i, j, [KJ_PER_KCAL * epsilon, NM_PER_ANGSTROM * radius, charges])
    return force
