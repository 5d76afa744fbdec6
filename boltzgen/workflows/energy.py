"""Energies of given conformers, term by term."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rdkit import Chem

from boltzgen.energies.compiler import compile_system
from boltzgen.errors import InputError
from boltzgen.molecules.molecule import Molecule
from boltzgen.systems import load_system
from boltzgen.units import NM_PER_ANGSTROM

TRAJECTORIES = (".pdb", ".dcd", ".xtc", ".nc", ".h5", ".trr", ".xyz")


@dataclass(frozen=True)
class ConformerEnergies:
    """Potential energies [conformers] in kJ/mol of each force by name; the total is their sum."""

    molecule: Molecule
    forcefield: str
    solvent: str
    terms: dict[str, np.ndarray]

    @property
    def total(self) -> np.ndarray:
        """[conformers] kJ/mol."""
        return np.sum(list(self.terms.values()), axis=0)


def conformer_energies(
    spec: str,
    positions: str | Path,
    forcefield: str | None = None,
    solvent: str | None = None,
    release_constraints: bool = False,
) -> ConformerEnergies:
    """Energies, in float64, of the conformers in the file ``positions`` (see ``read_positions``)."""
    system = load_system(spec, forcefield, solvent, release_constraints)
    x = read_positions(system.molecule, Path(positions))
    energy = compile_system(system.system)
    batch_last = torch.as_tensor(x, dtype=torch.float64).permute(2, 1, 0).contiguous()
    terms = {name: values.numpy() for name, values in energy.term_energies(batch_last).items()}
    return ConformerEnergies(system.molecule, system.forcefield, system.solvent, terms)


def read_positions(molecule: Molecule, path: Path) -> np.ndarray:
    """Conformers of ``molecule`` [n, atoms, 3] in nm from a file.

    .sdf and .mol: every record, its atoms put in the molecule's order by matching the graphs. .npy and .npz
    (array ``positions``): nm, in the molecule's order. Trajectories that mdtraj reads: in that order too.
    Raises InputError where the file is missing, unreadable or of another molecule.
    """
    if not path.is_file():
        raise InputError(f"There is no file {path}; give conformers as .sdf, .npz, .pdb or .dcd.")
    suffix = path.suffix.lower()
    if suffix in (".sdf", ".mol"):
        return _matched_records(molecule, path)
    if suffix in (".npy", ".npz"):
        positions = _stored_array(path)
    elif suffix in TRAJECTORIES:
        positions = _trajectory(molecule, path)
    else:
        raise InputError(f"{path} is of no kind known here; give conformers as .sdf, .npz, .pdb or .dcd.")
    molecule.require_positions(positions)
    return positions


def _matched_records(molecule: Molecule, path: Path) -> np.ndarray:
    try:
        records = list(Chem.SDMolSupplier(str(path), removeHs=False))
    except OSError as error:
        raise InputError(f"{path} cannot be read as conformers ({error}).") from error
    frames = []
    for index, record in enumerate(records):
        match = () if record is None else record.GetSubstructMatch(molecule.rdmol)
        if record is None or record.GetNumAtoms() != molecule.n_atoms or len(match) != molecule.n_atoms:
            raise InputError(
                f"Record {index + 1} of {path} is not '{molecule.smiles}' with all its hydrogens:"
                " give conformers of the same molecule."
            )
        if not record.GetConformer().Is3D():
            raise InputError(f"Record {index + 1} of {path} is a drawing in the plane: give 3D conformers.")
        frames.append(record.GetConformer().GetPositions()[list(match)] * NM_PER_ANGSTROM)
    if not frames:
        raise InputError(f"{path} holds no conformer.")
    return np.array(frames)


def _stored_array(path: Path) -> np.ndarray:
    try:
        loaded = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as an array ({error}).") from error
    if path.suffix.lower() == ".npy":
        return _numbers(loaded, path)
    with loaded:
        if "positions" not in loaded.files:
            raise InputError(f"{path} has no array 'positions' but {', '.join(loaded.files)}.")
        return _numbers(loaded["positions"], path)


def _numbers(array: np.ndarray, path: Path) -> np.ndarray:
    if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
        raise InputError(f"{path} holds something else than finite numbers; give positions in nm.")
    return array.astype(np.float64)


def _trajectory(molecule: Molecule, path: Path) -> np.ndarray:
    import mdtraj

    topology = None if path.suffix.lower() in (".pdb", ".h5") else molecule.to_mdtraj_topology()
    try:
        trajectory = mdtraj.load(str(path), **({} if topology is None else {"top": topology}))
    except (OSError, ValueError, IndexError, TypeError, ImportError) as error:
        raise InputError(f"{path} cannot be read as a trajectory of '{molecule.smiles}': {error}.") from error
    elements = [atom.element.atomic_number for atom in trajectory.topology.atoms]
    if elements != molecule.atomic_numbers.tolist():
        raise InputError(f"The atoms of {path} are not those of '{molecule.smiles}' in its order.")
    return trajectory.xyz.astype(np.float64)
