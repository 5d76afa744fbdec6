"""An OpenMM topology with positions: the molecule of its elements and bonds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from rdkit import Chem, rdBase
from rdkit.Chem import rdDetermineBonds

from boltzgen.errors import InputError
from boltzgen.molecules.isomers import stereoisomers
from boltzgen.molecules.peptides import is_peptide, matched_topology
from boltzgen.molecules.reading import MAX_ATOMS, open_stereo, require_apart, with_hydrogens
from boltzgen.molecules.stereo import StereoElements, conformer

if TYPE_CHECKING:
    import openmm.app

WHAT = "The OpenMM topology"
LONGEST_BOND = 0.5  # nm: longer than any bond, shorter than a usual one whose length in Å is taken for nm


def read_topology(topology: openmm.app.Topology, positions: np.ndarray, charge: int) -> Chem.Mol:
    """The molecule of an OpenMM topology, its atoms in the topology's order.

    Parameters
    ----------
    topology
        Elements and bonds. Bond orders follow from valences and the charge (Kim & Kim 2015, RDKit's
        DetermineBonds) or, in a peptide, from its residues.
    positions
        [frames, atoms, 3] nm; stereo is that of the first frame, and all become conformers.
    charge
        Of the whole molecule, in units of e.

    Returns
    -------
    Chem.Mol

    Raises
    ------
    InputError
        Where the topology has particles without an element, no bonds, several molecules or missing hydrogens,
        or the frames do not fit it.
    """
    atoms = list(topology.atoms())
    for atom in atoms:
        if atom.element is None:
            raise InputError(
                f"{WHAT} has a particle without an element ({atom.name}, index {atom.index}): virtual sites"
                " and extra particles are not supported."
            )
    if not 0 < len(atoms) <= MAX_ATOMS:
        raise InputError(f"{WHAT} has {len(atoms)} atoms: give one molecule of at most {MAX_ATOMS}.")
    if positions.shape[1:] != (len(atoms), 3):
        raise InputError(
            f"{WHAT} has {len(atoms)} atoms, but the positions have the shape {list(positions.shape)}: give"
            f" [{len(atoms)}, 3] or [frames, {len(atoms)}, 3] in nm, or a quantity with units."
        )
    bonds = [(first.index, second.index) for first, second in topology.bonds()]
    _require_one_molecule(len(atoms), bonds, topology)
    _require_nanometres(positions, bonds)
    if is_peptide(residue.name for residue in topology.residues()):
        rdmol = matched_topology(topology, WHAT)
    else:
        rdmol = _with_bond_orders(atoms, bonds, positions[0], charge)
    for frame in positions:
        rdmol.AddConformer(conformer(frame), assignId=True)
    require_apart(rdmol, WHAT)
    Chem.AssignStereochemistryFrom3D(rdmol, confId=0)
    other = np.flatnonzero(~StereoElements.of(rdmol).kept(positions))
    if len(other):
        raise InputError(
            f"Frame {other[0]} of the positions is of another stereoisomer than the first: give frames of one"
            " stereoisomer."
        )
    isomers = stereoisomers(rdmol)
    if len(isomers) != 1:
        raise open_stereo(WHAT, isomers)
    return isomers[0]


def _require_one_molecule(n_atoms: int, bonds: list[tuple[int, int]], topology: openmm.app.Topology) -> None:
    if not bonds and n_atoms > 1:
        raise InputError(
            f"{WHAT} has no bonds: add them, with topology.createStandardBonds() where its residues are"
            " standard ones."
        )
    graph = Chem.RWMol()
    for _ in range(n_atoms):
        graph.AddAtom(Chem.Atom(0))
    for first, second in bonds:
        graph.AddBond(first, second, Chem.BondType.SINGLE)
    fragments = len(Chem.GetMolFrags(graph))
    if fragments > 1:
        raise InputError(
            f"{WHAT} has {fragments} molecules ({topology.getNumResidues()} residues): give one molecule,"
            " without solvent or counter-ions."
        )


def _require_nanometres(positions: np.ndarray, bonds: list[tuple[int, int]]) -> None:
    if not bonds:
        return
    first, second = np.array(bonds).T
    lengths = np.linalg.norm(positions[:, first] - positions[:, second], axis=-1)
    if not np.median(lengths) < LONGEST_BOND:
        raise InputError(
            f"Bonds are {np.median(lengths):.3g} nm long in the positions: plain numbers are nm, so give"
            " positions in nm or as a quantity with units."
        )


def _with_bond_orders(
    atoms: list[openmm.app.topology.Atom], bonds: list[tuple[int, int]], x: np.ndarray, charge: int
) -> Chem.Mol:
    editable = Chem.RWMol()
    for atom in atoms:
        added = Chem.Atom(atom.element.atomic_number)
        added.SetNoImplicit(True)
        editable.AddAtom(added)
    for first, second in bonds:
        editable.AddBond(first, second, Chem.BondType.SINGLE)
    editable.AddConformer(conformer(x), assignId=True)
    try:
        with rdBase.BlockLogs():
            rdDetermineBonds.DetermineBondOrders(editable, charge=charge, embedChiral=False)
            Chem.SanitizeMol(editable)
    except ValueError as error:
        raise InputError(
            f"{WHAT} has no bond orders that fit its bonds and a total charge of {charge}: give an RDKit Mol"
            " in its place, (mol, system), in the same order of atoms."
        ) from error
    rdmol = with_hydrogens(editable.GetMol(), WHAT)
    rdmol.RemoveAllConformers()
    return rdmol
