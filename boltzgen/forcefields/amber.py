"""AMBER force fields for peptides, as shipped with OpenMM."""

from __future__ import annotations

import openmm
import openmm.app

from boltzgen.errors import InputError
from boltzgen.molecules.molecule import Molecule

PROTEIN_XML = {
    "ff14sb": "amber14/protein.ff14SB.xml",
    "ff19sb": "amber19/protein.ff19SB.xml",
    "amber99sbildn": "amber99sbildn.xml",
    "amber96": "amber96.xml",
}
SOLVENT_XML = {
    "obc1": "implicit/obc1.xml",
    "obc2": "implicit/obc2.xml",
    "gbn2": "implicit/gbn2.xml",
    "water": "implicit/obc2.xml",
}
# OpenMM's older OBC2 with radii by atom type, which fit these two force fields only.
TYPED_SOLVENT_XML = {
    ("amber99sbildn", "amber99_obc"): "amber99_obc.xml",
    ("amber96", "amber96_obc"): "amber96_obc.xml",
}


def amber_solvents(forcefield: str) -> tuple[str, ...]:
    """The solvents that go with ``forcefield``."""
    typed = tuple(solvent for field, solvent in TYPED_SOLVENT_XML if field == forcefield)
    return ("vacuum", *SOLVENT_XML, *typed)


def amber_system(molecule: Molecule, forcefield: str, solvent: str) -> openmm.System:
    """A peptide with all its degrees of freedom: no cutoff, no constraints, no box.

    ``molecule`` has residues: from a sequence or a PDB file. Raises InputError where the force field has no
    template for one of them.
    """
    files = [PROTEIN_XML[forcefield]]
    if solvent != "vacuum":
        files.append(SOLVENT_XML.get(solvent) or TYPED_SOLVENT_XML[forcefield, solvent])
    try:
        return openmm.app.ForceField(*files).createSystem(
            molecule.to_openmm_topology(),
            nonbondedMethod=openmm.app.NoCutoff,
            constraints=None,
            rigidWater=False,
            removeCMMotion=False,
        )
    except ValueError as error:  # "No template found for residue 0 (MOL). …"
        reason = str(error).split(".")[0]
        has_residues = molecule.rdmol.GetAtomWithIdx(0).GetPDBResidueInfo() is not None
        advice = (
            "cap the chain (ACE-…-NME), where every protonation state has parameters, or choose another"
            " residue"
            if has_residues
            else "give a peptide as a sequence like ACE-ALA-NME or as a .pdb file"
        )
        raise InputError(
            f"{forcefield} cannot describe '{molecule.smiles}' ({reason}): {advice}, or choose another force"
            " field."
        ) from error
