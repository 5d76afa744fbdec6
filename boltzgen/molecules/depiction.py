"""A molecule in two dimensions with the numbers that names of torsions use."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape
from typing import Any

from rdkit import Chem
from rdkit.Chem import rdDepictor
from rdkit.Chem.Draw import rdMolDraw2D

from boltzgen.molecules.molecule import Molecule
from boltzgen.molecules.torsions import conformer_torsions

BOND = 54.0  # pixels
# Colours that RDKit gives, and CSS variables that may take their place on dark paper.
VARIABLES = {"#000000": "ink", "#FF0000": "oxygen", "#0000FF": "nitrogen", "#191919": "ink"}


def depiction_svg(molecule: Molecule) -> str:
    """SVG of the structural formula with every atom's number, counted from one as in the names of torsions.

    Hydrogens are drawn where a torsion that tells conformers apart is named by them.
    """
    rdmol = _drawn(molecule)
    rdDepictor.SetPreferCoordGen(True)
    rdDepictor.Compute2DCoords(rdmol)
    drawer = rdMolDraw2D.MolDraw2DSVG(-1, -1)  # as large as the molecule needs
    options: Any = drawer.drawOptions()
    options.clearBackground = False
    options.annotationFontScale = 0.55
    options.scalingFactor = BOND / 1.5
    options.padding = 0.04
    drawer.DrawMolecule(rdMolDraw2D.PrepareMolForDrawing(rdmol, addChiralHs=False))
    drawer.FinishDrawing()
    text = drawer.GetDrawingText()
    text = text[text.index("<svg") :]
    text = re.sub(r"<!--.*?-->", "", text, flags=re.S)
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, f"var(--{variable}, {colour})")
    label = f'role="img" aria-label="Structural formula of {escape(molecule.smiles)} with atom numbers"'
    return text.replace("<svg ", f"<svg {label} ", 1)


def _drawn(molecule: Molecule) -> Chem.Mol:
    """Heavy atoms and the hydrogens that torsions are named by, each with its number as a note."""
    rdmol = Chem.Mol(molecule.rdmol)
    rdmol.RemoveAllConformers()
    torsions = conformer_torsions(molecule)
    named = {atom for torsion in torsions for atom in (*torsion.start, *torsion.axis, *torsion.end)}
    for atom in rdmol.GetAtoms():
        atom.SetProp("atomNote", str(atom.GetIdx() + 1))
    keep = _hydrogens(rdmol, named)
    for index in keep:
        rdmol.GetAtomWithIdx(index).SetAtomMapNum(index + 1)
    parameters: Any = Chem.RemoveHsParameters()
    parameters.removeMapped = False
    parameters.showWarnings = False
    rdmol = Chem.RemoveHs(rdmol, parameters)
    for atom in rdmol.GetAtoms():
        atom.SetAtomMapNum(0)
    return rdmol


def _hydrogens(rdmol: Chem.Mol, atoms: Iterable[int]) -> list[int]:
    return [index for index in atoms if rdmol.GetAtomWithIdx(index).GetAtomicNum() == 1]
