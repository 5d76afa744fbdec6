"""Molecule: atoms, bonds and stereo of one molecule, in the atom order of every array of positions."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdMolInterchange

from boltzgen.errors import InputError
from boltzgen.molecules import seeds
from boltzgen.molecules.isomers import stereoisomers
from boltzgen.molecules.peptides import label_atom, read_pdb, read_sequence
from boltzgen.molecules.rdkit_input import read_mol
from boltzgen.molecules.reading import read_file, read_smiles, with_hydrogens
from boltzgen.molecules.smiles import parsed_smiles
from boltzgen.molecules.stereo import StereoElements, canonical_smiles, smiles_from_positions
from boltzgen.molecules.turned import turned_conformers

if TYPE_CHECKING:
    import mdtraj
    import openmm.app


@dataclass(frozen=True)
class Molecule:
    """One molecule with explicit hydrogens and complete stereo.

    ``rdmol`` holds the graph and, where the molecule came with positions, these as conformers (Å). Make one
    with ``from_smiles``, ``from_file``, ``from_sequence`` or ``from_rdkit``.
    """

    rdmol: Chem.Mol
    name: str | None = None

    def __post_init__(self) -> None:
        # Chem.RenumberAtoms and pickling may leave a molecule without ring information, which substructure
        # searches need.
        Chem.GetSymmSSSR(self.rdmol)

    @classmethod
    def from_smiles(cls, smiles: str, name: str | None = None) -> Molecule:
        """The molecule of a SMILES. Raises InputError, also where stereo is left open (see stereoisomers)."""
        return cls(read_smiles(smiles), name)

    @classmethod
    def from_file(cls, path: str | Path, name: str | None = None) -> Molecule:
        """The molecule of an .sdf, .mol or (peptides) .pdb file; its positions become the first seeds."""
        read = read_pdb if Path(path).suffix.lower() == ".pdb" else read_file
        return cls(read(path), name or Path(path).stem)

    @classmethod
    def from_sequence(cls, sequence: str, name: str | None = None) -> Molecule:
        """The peptide of a sequence like ``ACE-ALA-NME`` in AMBER's protonation states."""
        return cls(read_sequence(sequence), name or sequence)

    @classmethod
    def from_rdkit(cls, rdmol: Chem.Mol, name: str | None = None, add_hydrogens: bool = False) -> Molecule:
        """The molecule of an RDKit ``Mol``, whose conformers become the first seeds.

        Parameters
        ----------
        rdmol
            Is left as it is; the order of its atoms is kept.
        name
            By default its property "_Name".
        add_hydrogens
            Whether missing hydrogens are added; otherwise they are refused.

        Raises
        ------
        InputError
            For missing hydrogens, open stereo, conformers that contradict the labels, and what else cannot
            be used.
        """
        named = rdmol.GetProp("_Name") if rdmol.HasProp("_Name") else ""
        return cls(read_mol(rdmol, add_hydrogens), name or named or None)

    @classmethod
    def from_json(cls, text: str) -> Molecule:
        """The molecule that ``to_json`` wrote: same atom order, stereo, residues, conformers and name."""
        content = json.loads(text)
        rdmol = rdMolInterchange.JSONToMols(content["graph"])[0]
        Chem.SanitizeMol(rdmol)  # hybridisation, which MMFF94's types depend on, is not in RDKit's JSON
        for atom, label in zip(rdmol.GetAtoms(), content["residues"], strict=True):
            if label is not None:
                label_atom(atom, *label)
        for positions in content.get("conformers_angstrom", ()):  # older files have them in the graph
            placed = Chem.Conformer(rdmol.GetNumAtoms())
            placed.SetPositions(np.array(positions))
            rdmol.AddConformer(placed, assignId=True)
        return cls(rdmol, content["name"])

    @staticmethod
    def stereoisomers(smiles: str) -> list[Molecule]:
        """Every stereoisomer that a SMILES leaves open, itself alone where it leaves none open."""
        rdmol = with_hydrogens(parsed_smiles(smiles), f"SMILES '{smiles}'")
        return [Molecule(isomer) for isomer in stereoisomers(rdmol)]

    def to_json(self) -> str:
        """Graph, stereo, residues, conformers and name as text.

        RDKit's JSON has no residues, and rounds positions in their last digit.
        """
        labels = [
            (info.GetName().strip(), info.GetResidueName().strip(), info.GetResidueNumber()) if info else None
            for info in (atom.GetPDBResidueInfo() for atom in self.rdmol.GetAtoms())
        ]
        bare = Chem.Mol(self.rdmol)
        bare.RemoveAllConformers()
        content = {
            "name": self.name,
            "graph": rdMolInterchange.MolToJSON(bare),
            "residues": labels,
            "conformers_angstrom": [placed.GetPositions().tolist() for placed in self.rdmol.GetConformers()],
        }
        return json.dumps(content)

    @cached_property
    def smiles(self) -> str:
        """Canonical isomeric SMILES without explicit hydrogens."""
        return canonical_smiles(self.rdmol)

    @property
    def n_atoms(self) -> int:
        return self.rdmol.GetNumAtoms()

    @cached_property
    def atomic_numbers(self) -> np.ndarray:
        """[atoms] int."""
        return np.array([atom.GetAtomicNum() for atom in self.rdmol.GetAtoms()], dtype=np.int64)

    @cached_property
    def masses(self) -> np.ndarray:
        """[atoms] dalton; isotopes as the SMILES labels them."""
        return np.array([atom.GetMass() for atom in self.rdmol.GetAtoms()])

    @cached_property
    def bonds(self) -> list[tuple[int, int]]:
        """Pairs of bonded atoms (i, j), i < j, in ascending order."""
        pairs = ((bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in self.rdmol.GetBonds())
        return sorted((min(pair), max(pair)) for pair in pairs)

    @property
    def formal_charge(self) -> int:
        return Chem.GetFormalCharge(self.rdmol)

    @cached_property
    def stereo(self) -> StereoElements:
        """The labelled tetrahedral centres and E/Z bonds."""
        return StereoElements.of(self.rdmol)

    def keeps_stereo(self, positions: np.ndarray) -> np.ndarray:
        """Which of ``positions`` [n, atoms, 3] carry this molecule's stereo: bool [n]."""
        return self.stereo.kept(positions)

    def smiles_from_positions(self, positions: np.ndarray) -> str:
        """Canonical SMILES with the stereo RDKit perceives from ``positions`` [atoms, 3] nm alone."""
        return smiles_from_positions(self.rdmol, positions)

    def seed_conformers(
        self, n: int, seed: int = 0, minimise: bool = True, seconds: float | None = None
    ) -> np.ndarray:
        """At most ``n`` conformers [m, atoms, 3] nm float64 with this molecule's stereo (see seeds.py)."""
        return seeds.seed_conformers(self.rdmol, n, seed, minimise, seconds)

    @cached_property
    def first_conformer(self) -> np.ndarray:
        """One conformer [atoms, 3] nm float64, the same in every run; made in a few seconds at the most."""
        return self.seed_conformers(1, seed=0, seconds=seeds.LEAST_SECONDS)[0]

    def turned_conformers(self, seeds: np.ndarray, window: float = 25.0) -> np.ndarray:
        """``seeds`` with one amide, ester or acid bond on its other side, where within ``window`` kJ/mol.

        [m, atoms, 3] nm, m from 0; see turned.py.
        """
        return turned_conformers(self.rdmol, seeds, window)

    def to_openmm_topology(self) -> openmm.app.Topology:
        """OpenMM's topology: the residues of a peptide, else one residue MOL with atom names C1, C2, H1, …"""
        import openmm.app

        topology = openmm.app.Topology()
        chain = topology.addChain()
        atoms: list[Any] = []
        residue, key = None, None
        counts: Counter[str] = Counter()
        for atom in self.rdmol.GetAtoms():
            info = atom.GetPDBResidueInfo()
            counts[atom.GetSymbol()] += 1
            name = info.GetName().strip() if info else f"{atom.GetSymbol()}{counts[atom.GetSymbol()]}"
            here = (info.GetResidueNumber(), info.GetResidueName().strip()) if info else (1, "MOL")
            if here != key:
                residue, key = topology.addResidue(here[1], chain, id=str(here[0])), here
            element = openmm.app.Element.getByAtomicNumber(atom.GetAtomicNum())
            atoms.append(topology.addAtom(name, element, residue, formalCharge=atom.GetFormalCharge()))
        for i, j in self.bonds:
            topology.addBond(atoms[i], atoms[j])
        return topology

    def to_mdtraj_topology(self) -> mdtraj.Topology:
        """mdtraj's topology with the same atoms, residues and bonds."""
        import mdtraj

        return mdtraj.Topology.from_openmm(self.to_openmm_topology())

    def require_positions(self, positions: np.ndarray) -> None:
        """Raises InputError unless ``positions`` is [n, atoms, 3] for this molecule."""
        if positions.ndim != 3 or positions.shape[1:] != (self.n_atoms, 3):
            raise InputError(
                f"Positions of shape {list(positions.shape)} do not fit '{self.smiles}': "
                f"give [n, {self.n_atoms}, 3] in nm."
            )
