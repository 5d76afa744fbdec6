"""Conformers as the text of files that other programs read: SDF, extended XYZ, PDB."""

from __future__ import annotations

import io
from collections.abc import Callable

from rdkit import Chem

from boltzgen.errors import InputError
from boltzgen.molecules.molecule import Molecule
from boltzgen.units import NM_PER_ANGSTROM


def conformer_text(molecule: Molecule, conformers: Chem.Mol, kind: str) -> str:
    """All of ``conformers`` as the text of one file.

    Parameters
    ----------
    molecule
        Gives name, residues and names of atoms.
    conformers
        The same molecule; the properties of its conformers are written where the kind of file has a place.
    kind
        "sdf": a record each, with properties. "xyz": extended XYZ, a frame each, with properties in the line
        of comment. "pdb": a model each, without properties.

    Raises
    ------
    InputError
        For another kind.
    """
    if kind not in FORMATS:
        raise InputError(f"Conformers cannot be written as '{kind}': give some of {', '.join(FORMATS)}.")
    return FORMATS[kind](molecule, conformers)


def _properties(conformer: Chem.Conformer) -> dict[str, str]:
    values = conformer.GetPropsAsDict()
    return {
        name: f"{value:.6g}" if isinstance(value, float) else str(value) for name, value in values.items()
    }


def _sdf(molecule: Molecule, conformers: Chem.Mol) -> str:
    """In memory, since RDKit's writer does not tell when a disk is full."""
    text = io.StringIO()
    rdmol = Chem.Mol(conformers)
    rdmol.SetProp("_Name", molecule.name or molecule.smiles)
    properties = {one.GetId(): _properties(one) for one in rdmol.GetConformers()}
    names = list(dict.fromkeys(name for values in properties.values() for name in values))
    with Chem.SDWriter(text) as writer:
        writer.SetProps(names)  # once: RDKit warns of more
        for index, values in properties.items():
            for name in names:
                rdmol.ClearProp(name)
            for name, value in values.items():
                rdmol.SetProp(name, value)
            writer.write(rdmol, confId=index)
    return text.getvalue()


def _xyz(molecule: Molecule, conformers: Chem.Mol) -> str:
    symbols = [atom.GetSymbol() for atom in conformers.GetAtoms()]
    lines = []
    for conformer in conformers.GetConformers():
        written = {
            name: f'"{value}"' if " " in value else value for name, value in _properties(conformer).items()
        }
        comment = " ".join(f"{name}={value}" for name, value in written.items())
        lines += [str(len(symbols)), f'Properties=species:S:1:pos:R:3 pbc="F F F" {comment}'.rstrip()]
        positions = conformer.GetPositions()
        lines += [
            f"{symbol:<2} {x:14.8f} {y:14.8f} {z:14.8f}"
            for symbol, (x, y, z) in zip(symbols, positions, strict=True)
        ]
    return "\n".join(lines) + "\n"


def _pdb(molecule: Molecule, conformers: Chem.Mol) -> str:
    from openmm import unit
    from openmm.app import PDBFile

    topology, text = molecule.to_openmm_topology(), io.StringIO()
    PDBFile.writeHeader(topology, text)
    for number, conformer in enumerate(conformers.GetConformers(), start=1):
        positions = conformer.GetPositions() * NM_PER_ANGSTROM * unit.nanometer
        PDBFile.writeModel(topology, positions, text, modelIndex=number)
    PDBFile.writeFooter(topology, text)
    return text.getvalue()


FORMATS: dict[str, Callable[[Molecule, Chem.Mol], str]] = {"sdf": _sdf, "xyz": _xyz, "pdb": _pdb}
"""Kinds of files by their suffixes."""
