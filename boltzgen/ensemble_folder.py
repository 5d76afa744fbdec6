"""The folder of a run: ``ensemble.npz``, ``molecule.json``, ``conformers.sdf``, trajectory, ``summary.json``.

Each file appears whole or not at all, the arrays first, so that nothing computed is lost when a later file
fails. ``SHA256SUMS`` tells when a file was damaged or is of another run; ``summary.json`` comes last and
marks a folder as complete. ``Ensemble.save`` and ``Ensemble.load`` are for users; here is the format.
"""

from __future__ import annotations

import errno
import json
import os
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from boltzgen.errors import InputError
from boltzgen.files.checksums import require_checksums, write_checksums
from boltzgen.files.names import (
    ARRAYS,
    CONFIG,
    CONFORMERS,
    ENSEMBLE_FILES,
    MODEL,
    MOLECULE,
    RUN_FILES,
    SUMMARY,
    TOPOLOGY,
    TRAJECTORY,
)
from boltzgen.files.whole import json_text, read_json, write_whole
from boltzgen.molecules.conformer_texts import conformer_text
from boltzgen.molecules.molecule import Molecule
from boltzgen.sampling.importance import Estimate, WeightStatistics

if TYPE_CHECKING:
    import mdtraj
    from rdkit import Chem

MOST_TRAJECTORY_FRAMES = 10_000


@dataclass(frozen=True)
class EnsembleFiles:
    """What the files of an ensemble hold.

    arrays: by name, as ``ensemble.npz`` has them. density: of which kind ``log_prob`` is. conformers: a
    distinct conformers with their populations as properties. trajectory: samples in their
    order, superposed.
    """

    molecule: Molecule
    arrays: Mapping[str, np.ndarray | float]
    statistics: WeightStatistics
    density: str
    conformers: Chem.Mol
    trajectory: mdtraj.Trajectory
    summary: Mapping[str, Any]

    @property
    def writers(self) -> dict[str, Callable[[Path], Any]]:
        """What writes each file, in the order in which they are written; the summary is not among them."""
        return {
            ARRAYS: self._write_arrays,
            MOLECULE: lambda path: path.write_text(self.molecule.to_json(), encoding="utf-8"),
            CONFORMERS: lambda path: path.write_text(
                conformer_text(self.molecule, self.conformers, "sdf"), encoding="utf-8"
            ),
            TRAJECTORY: self._write_trajectory,
            TOPOLOGY: lambda path: self.trajectory[0].save_pdb(str(path)),
        }

    def _write_arrays(self, path: Path) -> None:
        texts = {"statistics": json.dumps(asdict(self.statistics)), "density": self.density}
        np.savez_compressed(path, **self.arrays, **texts)  # type: ignore[arg-type]

    def _write_trajectory(self, path: Path) -> None:
        try:
            self.trajectory.save_dcd(str(path))
        except TypeError as error:  # mdtraj's own error handling fails when the disk takes no more
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error


@dataclass(frozen=True)
class StoredEnsemble:
    """What ``read_ensemble`` found.

    arrays: by name, ``log_prob`` only where there is a density of the kind ``density``.
    """

    molecule: Molecule
    arrays: Mapping[str, np.ndarray]
    statistics: WeightStatistics
    density: str
    summary: Mapping[str, Any]


def require_free_folder(folder: str | Path, files: Iterable[str] = RUN_FILES) -> Path:
    """``folder``, made if it is not there.

    Raises InputError if it holds one of ``files``, by default any file of a run, or cannot be written to.
    """
    folder = Path(folder)
    try:
        there = [name for name in files if (folder / name).exists()]
        if there:
            raise InputError(
                f"{folder} already holds a run ({there[0]}); choose another folder or remove that one."
            )
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be used ({error.strerror}); choose another folder.") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"{folder} cannot be written to; choose another folder.")
    return folder


def write_ensemble(folder: Path, files: EnsembleFiles) -> None:
    """Write all files to ``folder``, which must hold no ensemble yet."""
    require_free_folder(folder, ENSEMBLE_FILES)
    for name, write in files.writers.items():
        write_whole(folder / name, write)
    summary = json_text(files.summary)
    write_checksums(folder, (*files.writers, MODEL, CONFIG), {SUMMARY: summary})
    write_whole(folder / SUMMARY, lambda path: path.write_text(summary, encoding="utf-8"))


def write_missing(folder: Path, files: EnsembleFiles) -> None:
    """Write those files for other programs that are not in the complete ``folder``."""
    for name, write in files.writers.items():
        if not (folder / name).exists():
            write_whole(folder / name, write)


def read_ensemble(folder: Path) -> StoredEnsemble:
    """What ``write_ensemble`` wrote.

    Raises InputError where files are missing, damaged, of another run, or hold numbers that mean nothing.
    """
    for name in (ARRAYS, MOLECULE, SUMMARY):
        if not (folder / name).is_file():
            raise InputError(f"{folder} holds no complete run: {name} is missing.")
    require_checksums(folder, (ARRAYS, MOLECULE, SUMMARY))
    molecule, summary = _read_molecule(folder / MOLECULE), read_json(folder / SUMMARY)
    if summary.get("molecule") != molecule.smiles:
        raise InputError(
            f"{folder / MOLECULE} is '{molecule.smiles}', but {SUMMARY} is of '{summary.get('molecule')}':"
            " restore the files of one run."
        )
    arrays = _read_arrays(folder / ARRAYS)
    try:
        statistics = json.loads(str(arrays.pop("statistics")))
        log_z = statistics.pop("log_z")
        known = WeightStatistics(**statistics, log_z=None if log_z is None else Estimate(*log_z))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{folder / ARRAYS} holds no statistics of weights: restore it.") from error
    density = _density(arrays, summary)
    if density == "none":
        arrays.pop("log_prob", None)
    return StoredEnsemble(molecule, _sound(folder / ARRAYS, arrays), known, density, summary)


def _read_molecule(path: Path) -> Molecule:
    try:
        return Molecule.from_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from error
    except (ValueError, KeyError, IndexError, TypeError, RuntimeError) as error:  # RDKit's are RuntimeErrors
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path} is damaged ({reason}): restore it or run again.") from error


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as stream:  # numpy would leave a file open that it cannot read
            stored = np.load(stream, allow_pickle=False)
            if not isinstance(stored, np.lib.npyio.NpzFile):
                raise ValueError("it holds a single array, no archive")
            return {name: stored[name] for name in stored.files}
    except (
        OSError,
        ValueError,
        EOFError,
        KeyError,
        NotImplementedError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path} is damaged ({reason}): restore it or run again.") from error


def _density(arrays: Mapping[str, np.ndarray], summary: Mapping[str, Any]) -> str:
    """The kind of density that log_prob is.

    Files written before the kind was stored have log_prob in every case: nan where there is no density, and
    −u − log w, which is none, after refinement.
    """
    if "density" in arrays:
        return str(arrays["density"])
    log_prob = arrays.get("log_prob")
    if log_prob is None or "refinement" in summary or np.isnan(log_prob).all():
        return "none"
    return "extended" if summary.get("density") == "extended" else "exact"


def _sound(path: Path, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays of an ensemble.


    Raises InputError where an array is missing, has no numbers, or a sample that counts is not finite."""
    names = ["positions", "log_weights", "reduced_energies", "temperature_K"]
    names += ["log_prob"] if "log_prob" in arrays else []
    for name in names:
        if name not in arrays or arrays[name].dtype.kind != "f":
            raise InputError(f"{path} holds no '{name}' of floating-point numbers: restore it or run again.")
    log_weights = arrays["log_weights"]
    counts = log_weights > -np.inf
    if np.isnan(log_weights).any() or np.isposinf(log_weights).any() or not counts.any():
        raise InputError(f"{path} holds weights that are not finite: restore it or run again.")
    for name in ("positions", "reduced_energies"):
        values = arrays[name]
        if len(values) != len(counts) or not np.isfinite(values[counts]).all():
            raise InputError(f"{path} holds '{name}' that are not finite: restore it or run again.")
    return {name: arrays[name] for name in names}
