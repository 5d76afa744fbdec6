"""Conformers of a known molecule, read from a file of any usual kind and put in the molecule's atom order."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from rdkit import Chem, rdBase

from boltzgen.errors import InputError
from boltzgen.files.given import read_arrays, read_text
from boltzgen.molecules.molecule import Molecule
from boltzgen.molecules.stereo import canonical_smiles
from boltzgen.units import NM_PER_ANGSTROM

TRAJECTORIES = (".pdb", ".dcd", ".xtc", ".nc", ".h5", ".trr")
MOST_MEGABYTES = 200.0  # of a text file: some ten thousand conformers
FARTHEST = 1e6  # nm from the origin
# What mdtraj raises for files that are not what their names say.
MDTRAJ_ERRORS = (
    OSError,
    ValueError,
    IndexError,
    TypeError,
    KeyError,
    AttributeError,
    AssertionError,
    RuntimeError,
    ImportError,
)
MOST_MATCHES = 1000  # tried where RDKit perceives less stereo than the molecule has


def read_positions(molecule: Molecule, path: Path) -> np.ndarray:
    """Conformers of ``molecule`` [n, atoms, 3] in nm from a file.

    .sdf and .mol: every record, its atoms put in the molecule's order by matching the graphs. .npy and .npz
    (array ``positions``): nm, in the molecule's order. .xyz (Å) and trajectories that mdtraj reads: in that
    order too.

    Raises
    ------
    InputError
        Where the file is missing, unreadable, cut short, of another molecule or of another stereoisomer.
    """
    if not path.is_file():
        raise InputError(f"There is no file {path}; give conformers as .sdf, .npz, .pdb or .dcd.")
    suffix = path.suffix.lower()
    if suffix in (".sdf", ".mol"):
        return _matched_records(molecule, path)
    if suffix in (".npy", ".npz"):
        positions = _stored_array(path)
    elif suffix == ".xyz":
        positions = _xyz_frames(molecule, path)
    elif suffix in TRAJECTORIES:
        positions = _trajectory(molecule, path)
    else:
        raise InputError(f"{path} is of no kind known here; give conformers as .sdf, .npz, .pdb or .dcd.")
    molecule.require_positions(positions)
    if len(positions) == 0:
        raise InputError(f"{path} holds no conformer.")
    other = np.flatnonzero(~molecule.keeps_stereo(positions))
    if len(other):
        raise _other_stereoisomer(molecule, f"Conformer {other[0] + 1} of {path}", positions[other[0]])
    return positions


def _other_stereoisomer(molecule: Molecule, what: str, positions: np.ndarray) -> InputError:
    return InputError(
        f"{what} is of another stereoisomer, '{molecule.smiles_from_positions(positions)}' as RDKit sees it,"
        f" than '{molecule.smiles}': give conformers of the same molecule."
    )


def _matched_records(molecule: Molecule, path: Path) -> np.ndarray:
    supplier = Chem.SDMolSupplier()
    with rdBase.BlockLogs():
        supplier.SetData(read_text(path, MOST_MEGABYTES), removeHs=False)
        frames = [
            _matched(molecule, record, f"Record {number} of {path}")
            for number, record in enumerate(supplier, start=1)
        ]
    if not frames:
        raise InputError(f"{path} holds no conformer.")
    return np.array(frames)


def _matched(molecule: Molecule, record: Chem.Mol | None, what: str) -> np.ndarray:
    """Positions [atoms, 3] nm of ``record`` in the molecule's order of atoms."""
    if record is None:
        raise InputError(f"{what} is not a molecule that RDKit can read: check the file.")
    match = record.GetSubstructMatch(molecule.rdmol)
    if record.GetNumAtoms() != molecule.n_atoms or len(match) != molecule.n_atoms:
        raise InputError(
            f"{what} is '{canonical_smiles(record)}' with {record.GetNumAtoms()} atoms, not"
            f" '{molecule.smiles}' with all its {molecule.n_atoms}: give conformers of the same molecule."
        )
    if not record.GetConformer().Is3D():
        raise InputError(f"{what} is a drawing in the plane: give 3D conformers.")
    positions = record.GetConformer().GetPositions() * NM_PER_ANGSTROM
    if not np.isfinite(positions).all():
        raise InputError(f"{what} holds something else than finite numbers.")
    # Which of several equal atoms is which can depend on stereo (the two centres of a meso compound).
    Chem.AssignStereochemistryFrom3D(record)
    aware = record.GetSubstructMatch(molecule.rdmol, useChirality=True)
    for candidate in (aware, match):
        if len(candidate) and molecule.keeps_stereo(positions[None, list(candidate)])[0]:
            return positions[list(candidate)]
    # Where RDKit perceives less than the molecule's labels: three-coordinate phosphorus, aziridine nitrogen.
    for candidate in record.GetSubstructMatches(molecule.rdmol, uniquify=False, maxMatches=MOST_MATCHES):
        if molecule.keeps_stereo(positions[None, list(candidate)])[0]:
            return positions[list(candidate)]
    raise _other_stereoisomer(molecule, what, positions[list(match)])


def _stored_array(path: Path) -> np.ndarray:
    arrays = read_arrays(path)
    if "positions" not in arrays:
        raise InputError(f"{path} has no array 'positions' but {', '.join(arrays) or 'none at all'}.")
    return _numbers(arrays["positions"], path)


def _numbers(array: np.ndarray, path: Path) -> np.ndarray:
    if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
        raise InputError(f"{path} holds something else than finite numbers; give positions in nm.")
    farthest = float(np.abs(array).max(initial=0.0))
    if farthest > FARTHEST:
        raise InputError(f"{path} holds a position of {farthest:.3g} nm, which no molecule reaches.")
    return array.astype(np.float64)


def _xyz_frames(molecule: Molecule, path: Path) -> np.ndarray:
    """Frames of an .xyz file: the number of atoms, a comment, a line "element x y z" (Å) for each atom."""
    lines = read_text(path, MOST_MEGABYTES).splitlines()
    while lines and not lines[-1].strip():
        lines.pop()
    frames: list[list[list[float]]] = []
    start = 0
    while start < len(lines):
        what = f"Frame {len(frames) + 1} of {path}"
        try:
            count = int(lines[start])
        except ValueError:
            raise InputError(
                f"{what} does not begin with a number of atoms but with '{lines[start].strip()[:40]}'."
            ) from None
        if count != molecule.n_atoms:
            raise InputError(f"{what} has {count} atoms, but '{molecule.smiles}' has {molecule.n_atoms}.")
        rows = lines[start + 2 : start + 2 + count]
        if len(rows) < count:
            raise InputError(f"{what} ends after {len(rows)} of {count} atoms: the file is cut short.")
        frames.append([_xyz_atom(molecule, index, row, what) for index, row in enumerate(rows)])
        start += 2 + count
    return np.array(frames, dtype=np.float64).reshape(-1, molecule.n_atoms, 3) * NM_PER_ANGSTROM


def _xyz_atom(molecule: Molecule, index: int, row: str, what: str) -> list[float]:
    """x, y, z of one line, whose element, by symbol or number, must be that of the molecule's atom."""
    element, *numbers = row.split() or [""]
    try:
        position = [float(number) for number in numbers[:3]]
    except ValueError:
        position = []
    if len(position) != 3 or not np.isfinite(position).all():
        raise InputError(f"{what} has no three finite numbers for atom {index + 1}: '{row.strip()[:60]}'.")
    atom = molecule.rdmol.GetAtomWithIdx(index)
    if element.capitalize() != atom.GetSymbol() and element != str(atom.GetAtomicNum()):
        raise InputError(
            f"{what} has the element {element} for atom {index + 1}, where '{molecule.smiles}' has"
            f" {atom.GetSymbol()}: give conformers in the molecule's order of atoms."
        )
    return position


def _trajectory(molecule: Molecule, path: Path) -> np.ndarray:
    import mdtraj

    topology = None if path.suffix.lower() in (".pdb", ".h5") else molecule.to_mdtraj_topology()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd boxes and numbers of residues
            trajectory = mdtraj.load(str(path), **({} if topology is None else {"top": topology}))
    except MDTRAJ_ERRORS as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"{path} cannot be read as a trajectory of '{molecule.smiles}': {reason.rstrip('.')}."
        ) from error
    elements = [getattr(atom.element, "atomic_number", None) for atom in trajectory.topology.atoms]
    if elements != molecule.atomic_numbers.tolist():
        raise InputError(f"The atoms of {path} are not those of '{molecule.smiles}' in its order.")
    return _numbers(trajectory.xyz, path)
