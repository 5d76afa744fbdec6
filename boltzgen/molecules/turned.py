"""Seeds with an amide, ester or acid bond on its other side.

RDKit's embedding places every secondary amide trans and every ester Z. The other side is physics too (a few
percent of N-methylformamide at 300 K), and what no seed shows, no later stage can miss.
"""

from __future__ import annotations

import numpy as np
from rdkit import Chem, rdBase
from rdkit.Chem import rdForceFieldHelpers, rdMolTransforms

from boltzgen.molecules.dihedrals import dihedrals
from boltzgen.molecules.seeds import MINIMISATION_STEPS
from boltzgen.molecules.stereo import StereoElements, conformer
from boltzgen.units import KJ_PER_KCAL, NM_PER_ANGSTROM

CARBONYL_BOND = Chem.MolFromSmarts("[O,S;X1]=[CX3]-!@[NX3,OX2,SX2]")
TURNED_PER_BOND = 4


def turnable_torsions(rdmol: Chem.Mol) -> list[tuple[int, int, int, int]]:
    """A torsion O=C–X–R for each acyclic amide, ester or acid bond whose two sides differ.

    The sides are alike where X bears two equal groups (NH₂, N(CH₃)₂).
    """
    ranks = list(Chem.CanonicalRankAtoms(rdmol, breakTies=False))
    torsions = []
    for oxygen, carbon, hetero in rdmol.GetSubstructMatches(CARBONYL_BOND):
        beyond = [a.GetIdx() for a in rdmol.GetAtomWithIdx(hetero).GetNeighbors() if a.GetIdx() != carbon]
        if len({ranks[index] for index in beyond}) == len(beyond):
            torsions.append((oxygen, carbon, hetero, beyond[0]))
    return torsions


def turned_conformers(rdmol: Chem.Mol, seeds: np.ndarray, window: float) -> np.ndarray:
    """Conformers [m, atoms, 3] nm: ``seeds`` [n, atoms, 3] with one amide, ester or acid bond turned by 180°.

    From the lowest seeds, minimised with MMFF94, and kept where the bond stays turned, the stereo is the
    molecule's and the energy is within ``window`` kJ/mol of the lowest seed. None for a molecule without such
    bonds or without MMFF parameters.
    """
    none = np.zeros((0, rdmol.GetNumAtoms(), 3))
    torsions = turnable_torsions(rdmol)
    with rdBase.BlockLogs():
        if not torsions or not rdForceFieldHelpers.MMFFHasAllMoleculeParams(rdmol):
            return none
        relaxed, energies = _relaxed(rdmol, list(seeds))
    lowest = relaxed[np.argsort(energies)[:TURNED_PER_BOND]]
    stereo = StereoElements.of(rdmol)
    found = [none]
    for torsion in torsions:
        turned = np.array([_turned(rdmol, x, torsion) for x in lowest])
        with rdBase.BlockLogs():
            after, after_energies = _relaxed(rdmol, list(turned))
        change = [dihedrals(*(x[:, atom] for atom in torsion)) for x in (after, turned)]
        stays = np.cos(change[0] - change[1]) > 0.5
        found.append(after[(after_energies < energies.min() + window) & stays & stereo.kept(after)])
    return np.concatenate(found)


def _relaxed(rdmol: Chem.Mol, positions: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Minimised positions [n, atoms, 3] nm and MMFF94 energies [n] kJ/mol."""
    copy = Chem.Mol(rdmol)
    copy.RemoveAllConformers()
    for x in positions:
        copy.AddConformer(conformer(x), assignId=True)
    results = rdForceFieldHelpers.MMFFOptimizeMoleculeConfs(copy, numThreads=1, maxIters=MINIMISATION_STEPS)
    found = np.array([one.GetPositions() for one in copy.GetConformers()]) * NM_PER_ANGSTROM
    return found, np.array([energy for _, energy in results]) * KJ_PER_KCAL


def _turned(rdmol: Chem.Mol, x: np.ndarray, torsion: tuple[int, int, int, int]) -> np.ndarray:
    copy = Chem.Mol(rdmol)
    copy.RemoveAllConformers()
    copy.AddConformer(conformer(x), assignId=True)
    placed = copy.GetConformer()
    angle = rdMolTransforms.GetDihedralDeg(placed, *torsion)
    rdMolTransforms.SetDihedralDeg(placed, *torsion, angle + 180.0)
    return placed.GetPositions() * NM_PER_ANGSTROM
