"""The folder of a run: ``ensemble.npz``, ``molecule.json``, ``conformers.sdf``, trajectory, ``summary.json``.

Each file appears whole or not at all, the arrays first, so that nothing computed is lost when a later file
fails; ``summary.json`` comes last and marks a folder as complete.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from boltzgen.ensemble import DensityKind, Ensemble
from boltzgen.errors import InputError
from boltzgen.molecules.molecule import Molecule
from boltzgen.sampling.importance import Estimate, WeightStatistics

ARRAYS, MOLECULE, SUMMARY = "ensemble.npz", "molecule.json", "summary.json"
CONFORMERS, TRAJECTORY, TOPOLOGY = "conformers.sdf", "trajectory.dcd", "topology.pdb"
MODEL, CONFIG, REPORT = "model.safetensors", "config.toml", "report.html"
CHECKPOINT = "checkpoint.pt"  # of a training under way or cut short; a finished run has none
RUN_FILES = (ARRAYS, MOLECULE, SUMMARY, CONFORMERS, TRAJECTORY, TOPOLOGY, MODEL, CONFIG, REPORT, CHECKPOINT)
ENSEMBLE_FILES = (ARRAYS, MOLECULE, SUMMARY, CONFORMERS, TRAJECTORY, TOPOLOGY)
MOST_TRAJECTORY_FRAMES = 10_000


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


def save_ensemble(ensemble: Ensemble, folder: Path) -> None:
    """Write all files to ``folder``, which must hold no run yet."""
    require_free_folder(folder, ENSEMBLE_FILES)
    write_whole(folder / ARRAYS, lambda path: _write_arrays(ensemble, path))
    write_whole(folder / MOLECULE, lambda path: path.write_text(ensemble.molecule.to_json()))
    write_whole(folder / CONFORMERS, lambda path: _write_conformers(ensemble, path))
    trajectory = ensemble.resample(min(len(ensemble), MOST_TRAJECTORY_FRAMES)).to_mdtraj(weighted=True)
    write_whole(folder / TRAJECTORY, lambda path: trajectory.save_dcd(str(path)))
    write_whole(folder / TOPOLOGY, lambda path: trajectory[0].save_pdb(str(path)))
    write_summary(folder / SUMMARY, ensemble.summary())


def load_ensemble(folder: Path) -> Ensemble:
    """What ``save_ensemble`` wrote. Raises InputError where files of it are missing."""
    for name in (ARRAYS, MOLECULE, SUMMARY):
        if not (folder / name).is_file():
            raise InputError(f"{folder} holds no complete run: {name} is missing.")
    molecule = Molecule.from_json((folder / MOLECULE).read_text())
    with np.load(folder / ARRAYS, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    stored_summary = json.loads((folder / SUMMARY).read_text())
    statistics = json.loads(str(arrays["statistics"]))
    log_z = statistics.pop("log_z")
    log_prob, density = _stored_density(arrays, stored_summary)
    ensemble = Ensemble(
        molecule,
        arrays["positions"],
        arrays["log_weights"],
        arrays["reduced_energies"],
        float(arrays["temperature_K"]),
        WeightStatistics(**statistics, log_z=None if log_z is None else Estimate(*log_z)),
        log_prob=log_prob,
        density=density,
    )
    computed = ensemble.summary()
    return replace(ensemble, metadata={k: v for k, v in stored_summary.items() if k not in computed})


def write_whole(path: Path, write: Callable[[Path], Any]) -> None:
    """Let ``write`` fill a temporary file of the same suffix beside ``path``, then move it there."""
    partial = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        write(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def summary_text(summary: Mapping[str, Any]) -> str:
    """``summary`` as JSON; numbers that are not finite become null, which every reader understands."""
    return json.dumps(_finite(dict(summary)), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_summary(path: Path, summary: Mapping[str, Any]) -> None:
    """Write ``summary_text`` to ``path``."""
    write_whole(path, lambda partial: partial.write_text(summary_text(summary)))


def _write_arrays(ensemble: Ensemble, path: Path) -> None:
    arrays: dict[str, Any] = {
        "positions": ensemble.positions,
        "log_weights": ensemble.log_weights,
        "reduced_energies": ensemble.reduced_energies,
        "temperature_K": ensemble.temperature,
        "statistics": json.dumps(asdict(ensemble.statistics)),
        "density": ensemble.density,
    }
    if ensemble.log_prob is not None:
        arrays["log_prob"] = ensemble.log_prob
    np.savez_compressed(path, **arrays)


def _stored_density(
    arrays: Mapping[str, np.ndarray], summary: Mapping[str, Any]
) -> tuple[np.ndarray | None, DensityKind]:
    """log_prob and its kind.

    Files written before the kind was stored have log_prob in every case: nan where there is no density, and
    −u − log w, which is none, after refinement.
    """
    log_prob = arrays.get("log_prob")
    if "density" in arrays:
        return log_prob, cast("DensityKind", str(arrays["density"]))
    if log_prob is None or "refinement" in summary or np.isnan(log_prob).all():
        return None, "none"
    return log_prob, "extended" if summary.get("density") == "extended" else "exact"


def _write_conformers(ensemble: Ensemble, path: Path) -> None:
    from rdkit import Chem

    rdmol = ensemble.to_rdkit()
    rdmol.SetProp("_Name", ensemble.molecule.name or ensemble.molecule.smiles)
    with Chem.SDWriter(str(path)) as writer:
        for conformer in rdmol.GetConformers():
            for name in ("weight", "energy_kJ_mol"):
                rdmol.SetProp(name, f"{conformer.GetDoubleProp(name):.6g}")
            writer.write(rdmol, confId=conformer.GetId())


def _finite(value: Any) -> Any:
    """JSON types only: numpy scalars become Python's, non-finite numbers None."""
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return _finite(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
