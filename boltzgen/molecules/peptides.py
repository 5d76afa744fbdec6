"""Peptides: from a sequence of residue names, or a PDB file of one chain, to a complete molecule.

Residues are written as SMILES pieces, N to C terminus, so that joining the pieces joins the chain; L centres
and AMBER's protonation states. The atom names follow the PDB; atoms of a residue stand together, each
hydrogen after its heavy atom.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rdkit import Chem

from boltzgen.errors import InputError
from boltzgen.molecules.stereo import conformer

if TYPE_CHECKING:
    import openmm.app
    import openmm.unit

# name: (SMILES piece, names of its heavy atoms in the piece's order)
RESIDUES: dict[str, tuple[str, str]] = {
    "ACE": ("CC(=O)", "CH3 C O"),
    "NME": ("NC", "N C"),
    "NHE": ("N", "N"),
    "GLY": ("NCC(=O)", "N CA C O"),
    "ALA": ("N[C@@H](C)C(=O)", "N CA CB C O"),
    "VAL": ("N[C@@H](C(C)C)C(=O)", "N CA CB CG1 CG2 C O"),
    "LEU": ("N[C@@H](CC(C)C)C(=O)", "N CA CB CG CD1 CD2 C O"),
    "ILE": ("N[C@@H]([C@@H](C)CC)C(=O)", "N CA CB CG2 CG1 CD1 C O"),
    "SER": ("N[C@@H](CO)C(=O)", "N CA CB OG C O"),
    "THR": ("N[C@@H]([C@H](O)C)C(=O)", "N CA CB OG1 CG2 C O"),
    "CYS": ("N[C@@H](CS)C(=O)", "N CA CB SG C O"),
    "MET": ("N[C@@H](CCSC)C(=O)", "N CA CB CG SD CE C O"),
    "PRO": ("N1[C@@H](CCC1)C(=O)", "N CA CB CG CD C O"),
    "PHE": ("N[C@@H](Cc1ccccc1)C(=O)", "N CA CB CG CD1 CE1 CZ CE2 CD2 C O"),
    "TYR": ("N[C@@H](Cc1ccc(O)cc1)C(=O)", "N CA CB CG CD1 CE1 CZ OH CE2 CD2 C O"),
    "TRP": ("N[C@@H](Cc1c[nH]c2ccccc12)C(=O)", "N CA CB CG CD1 NE1 CE2 CZ2 CH2 CZ3 CE3 CD2 C O"),
    "HID": ("N[C@@H](Cc1cnc[nH]1)C(=O)", "N CA CB CG CD2 NE2 CE1 ND1 C O"),
    "HIE": ("N[C@@H](Cc1c[nH]cn1)C(=O)", "N CA CB CG CD2 NE2 CE1 ND1 C O"),
    "HIP": ("N[C@@H](Cc1c[nH]c[nH+]1)C(=O)", "N CA CB CG CD2 NE2 CE1 ND1 C O"),
    "ASP": ("N[C@@H](CC(=O)[O-])C(=O)", "N CA CB CG OD1 OD2 C O"),
    "ASH": ("N[C@@H](CC(=O)O)C(=O)", "N CA CB CG OD1 OD2 C O"),
    "ASN": ("N[C@@H](CC(=O)N)C(=O)", "N CA CB CG OD1 ND2 C O"),
    "GLU": ("N[C@@H](CCC(=O)[O-])C(=O)", "N CA CB CG CD OE1 OE2 C O"),
    "GLH": ("N[C@@H](CCC(=O)O)C(=O)", "N CA CB CG CD OE1 OE2 C O"),
    "GLN": ("N[C@@H](CCC(=O)N)C(=O)", "N CA CB CG CD OE1 NE2 C O"),
    "LYS": ("N[C@@H](CCCC[NH3+])C(=O)", "N CA CB CG CD CE NZ C O"),
    "LYN": ("N[C@@H](CCCCN)C(=O)", "N CA CB CG CD CE NZ C O"),
    "ARG": ("N[C@@H](CCCNC(=[NH2+])N)C(=O)", "N CA CB CG CD NE CZ NH1 NH2 C O"),
}
ALIASES = {"HIS": "HIE", "NH2": "NHE"}
FIRST_ONLY, LAST_ONLY = ("ACE",), ("NME", "NHE")


def is_sequence(text: str) -> bool:
    """Whether ``text`` reads as residue names joined by dashes, like ACE-ALA-NME; CCC-CCC is a SMILES."""
    names = text.split("-")
    return (
        len(names) > 1
        and all(len(name) == 3 and name.isalnum() and name.isupper() for name in names)
        and any(name in RESIDUES or name in ALIASES for name in names)
    )


def read_sequence(sequence: str) -> Chem.Mol:
    """The molecule of a sequence like ``ACE-ALA-NME``, ends charged where there is no cap.

    Raises InputError for residues it does not know and for caps that stand inside the chain.
    """
    residues = [ALIASES.get(name, name) for name in sequence.strip().split("-")]
    for place, name in enumerate(residues):
        if name not in RESIDUES:
            raise InputError(
                f"Unknown residue '{name}' in '{sequence}': give some of {', '.join((*RESIDUES, *ALIASES))}."
            )
        inside_start, inside_end = place > 0, place < len(residues) - 1
        if (name in FIRST_ONLY and inside_start) or (name in LAST_ONLY and inside_end):
            raise InputError(f"The cap '{name}' in '{sequence}' must stand at an end of the chain.")
    if len(residues) < 2:
        raise InputError(f"'{sequence}' is a single residue: give at least two, or caps (ACE-ALA-NME).")
    return _assembled(residues)


def _assembled(residues: list[str]) -> Chem.Mol:
    smiles, labels = "", []
    for number, name in enumerate(residues, start=1):
        piece, atom_names = RESIDUES[name]
        if number == 1 and name not in FIRST_ONLY:
            piece = ("[NH2+]" if name == "PRO" else "[NH3+]") + piece[1:]
        smiles += piece
        labels += [(atom_name, name, number) for atom_name in atom_names.split()]
    if residues[-1] not in LAST_ONLY:
        smiles += "[O-]"
        labels.append(("OXT", residues[-1], len(residues)))
    rdmol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    order: list[int] = []
    for index, (name, residue, number) in enumerate(labels):
        atom = rdmol.GetAtomWithIdx(index)
        label_atom(atom, name, residue, number)
        hydrogens = [other for other in atom.GetNeighbors() if other.GetAtomicNum() == 1]
        for hydrogen, hydrogen_name in zip(
            hydrogens, _hydrogen_names(name, residue, len(hydrogens)), strict=True
        ):
            label_atom(hydrogen, hydrogen_name, residue, number)
        group = [index, *(hydrogen.GetIdx() for hydrogen in hydrogens)]
        if residue == "ACE" and name == "CH3":  # AMBER's order H1 CH3 H2 H3, so that its trajectories fit
            group[:2] = reversed(group[:2])
        order += group
    return Chem.RenumberAtoms(rdmol, order)


def label_atom(atom: Chem.Atom, name: str, residue: str, number: int) -> None:
    """Gives ``atom`` its PDB name and residue."""
    padded = f" {name:<3}" if len(name) < 4 else name
    atom.SetMonomerInfo(
        Chem.AtomPDBResidueInfo(padded, residueName=residue, residueNumber=number, chainId="A")
    )


def _hydrogen_names(parent: str, residue: str, count: int) -> list[str]:
    """PDB names of the hydrogens on ``parent``: HA; HB2, HB3; HB1, HB2, HB3; HD21, HD22; H1, H2, H3."""
    if residue in ("ACE", "NME") and count == 3:
        return ["H1", "H2", "H3"]
    if parent == "N":
        return ["H"] if count == 1 else [f"H{k}" for k in range(1, count + 1)]
    base = "H" + parent[1:]
    if count == 1:
        return [base]
    start = 2 if count == 2 and parent[0] == "C" else 1
    return [f"{base}{k}" for k in range(start, start + count)]


def is_peptide(residues: Iterable[str]) -> bool:
    """Whether there are ``residues``, and all bear names that stand for an amino acid or a cap."""
    names = set(residues)
    return bool(names) and names <= {*RESIDUES, *ALIASES}


def is_peptide_pdb(path: str | Path) -> bool:
    """Whether every residue of a PDB file bears a name that stands for an amino acid or a cap."""
    if not Path(path).is_file():
        raise InputError(f"There is no file '{path}'.")
    lines = Path(path).read_text(errors="replace").splitlines()
    return is_peptide(line[17:20].strip() for line in lines if line.startswith(("ATOM", "HETATM")))


def read_pdb(path: str | Path) -> Chem.Mol:
    """The peptide of a PDB file (one chain of the residues above), in the file's atom order, with positions.

    Hydrogens that are missing are added at pH 7 by OpenMM. Every model becomes a conformer where the file
    is complete, else the first. Raises InputError for unreadable files, several chains, other residues and
    incomplete ones.
    """
    import openmm.app

    if not Path(path).is_file():
        raise InputError(f"There is no file '{path}'.")
    try:
        with Path(path).open() as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd numbers and names: what does not fit is refused below
            pdb = openmm.app.PDBFile(file)
    except (ValueError, KeyError, IndexError, AttributeError, TypeError, AssertionError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"'{path}' is not a PDB file that OpenMM can read: {reason}.") from error
    topology = pdb.topology
    frames = [_nanometres(pdb.getPositions(frame=k)) for k in range(pdb.getNumFrames())]
    if not any(atom.element is openmm.app.element.hydrogen for atom in topology.atoms()):
        modeller = openmm.app.Modeller(topology, pdb.positions)
        try:
            modeller.addHydrogens(openmm.app.ForceField("amber14/protein.ff14SB.xml"), pH=7.0)
        except (ValueError, KeyError, openmm.OpenMMException) as error:
            reason = str(error).split(".")[0]
            raise InputError(
                f"'{path}' has no hydrogens and they cannot be added ({reason}): complete the file."
            ) from error
        topology, frames = modeller.topology, [_nanometres(modeller.positions)]
    rdmol = matched_topology(topology, f"'{path}'")
    for frame in frames:
        rdmol.AddConformer(conformer(frame), assignId=True)
    perceived = Chem.Mol(rdmol)
    Chem.AssignStereochemistryFrom3D(perceived)
    return perceived


def _nanometres(positions: openmm.unit.Quantity) -> np.ndarray:
    import openmm.unit

    return np.array(positions.value_in_unit(openmm.unit.nanometer))


def matched_topology(topology: openmm.app.Topology, what: str) -> Chem.Mol:
    """The peptide of an OpenMM topology, its atoms in the topology's order and with its names.

    Raises InputError for several chains, other residues and incomplete ones.
    """
    if topology.getNumChains() != 1:
        raise InputError(f"{what} has {topology.getNumChains()} chains: give one peptide chain.")
    hydrogens: dict[openmm.app.topology.Atom, list[openmm.app.topology.Atom]] = {}
    for first, second in topology.bonds():
        for atom, other in ((first, second), (second, first)):
            if other.element.symbol == "H" and atom.element.symbol != "H":
                hydrogens.setdefault(atom, []).append(other)
    residues = list(topology.residues())
    names = [_protonation(residue) for residue in residues]
    for name in names:
        if name not in RESIDUES:
            raise InputError(
                f"{what} has the residue '{name}', which is not among {', '.join(RESIDUES)}: "
                "give an .sdf with a system.xml instead."
            )
    built = _assembled(names)
    place: dict[tuple[int, str], list[int]] = {}
    for atom in built.GetAtoms():
        if atom.GetAtomicNum() > 1:
            info = atom.GetPDBResidueInfo()
            own = [other.GetIdx() for other in atom.GetNeighbors() if other.GetAtomicNum() == 1]
            place[info.GetResidueNumber(), info.GetName().strip()] = [atom.GetIdx(), *own]
    order: dict[int, int] = {}
    for number, residue in enumerate(residues, start=1):
        for atom in residue.atoms():
            if atom.element.symbol == "H":
                continue
            here = place.pop((number, atom.name), None)
            group = [atom, *hydrogens.get(atom, [])]
            if here is None or len(here) != len(group):
                raise InputError(
                    f"{what}: atom {atom.name} of {residue.name} {residue.id} or its hydrogens do not fit "
                    "the residue (a disulfide, a missing atom, an odd protonation): correct the file."
                )
            order.update(zip((member.index for member in group), here, strict=True))
    if place or len(order) != topology.getNumAtoms():
        raise InputError(f"{what} lacks atoms of its residues: complete the file.")
    rdmol = Chem.RenumberAtoms(built, [order[index] for index in range(len(order))])
    for atom, named in zip(rdmol.GetAtoms(), topology.atoms(), strict=True):
        info = atom.GetPDBResidueInfo()
        label_atom(atom, named.name, info.GetResidueName(), info.GetResidueNumber())
    return rdmol


def _protonation(residue: openmm.app.topology.Residue) -> str:
    """The residue's name with the protonation that its hydrogens show."""
    has = Counter(atom.name for atom in residue.atoms())
    if residue.name in ("HIS", "HID", "HIE", "HIP"):
        return {(1, 1): "HIP", (1, 0): "HID"}.get((has["HD1"], has["HE2"]), "HIE")
    if residue.name == "ASP":
        return "ASH" if has["HD2"] or has["HD1"] else "ASP"
    if residue.name == "GLU":
        return "GLH" if has["HE2"] or has["HE1"] else "GLU"
    if residue.name == "LYS":
        return "LYS" if has["HZ3"] and has["HZ2"] and has["HZ1"] else "LYN"
    return ALIASES.get(residue.name, residue.name)
