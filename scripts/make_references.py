"""Reference ensembles of the named systems: writes what is in data/.

    python scripts/make_references.py [NAME ...] [--frames 8192] [--out data]

Batched replica exchange on the compiled energy at 300 K (`boltzgen reference NAME` with the settings below,
one seed), thinned in time to about ``--frames`` frames of all ladders. Each folder holds `ensemble.npz`
(positions in nm, reduced energies), `molecule.json`, `summary.json` (command, evaluations, verdict) and
`SHA256SUMS`; `boltzgen.Ensemble.load` reads it, `--reference` of `boltzgen sample` and `compare` takes it.
Chignolin is left out: its folding takes longer than any run that a desktop can make.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from boltzgen.ensemble import Ensemble
from boltzgen.files.checksums import write_checksums
from boltzgen.files.names import ARRAYS, MOLECULE, SUMMARY
from boltzgen.systems import load_system
from boltzgen.workflows.reference import ReferenceConfig, reference_ensemble

DATA = Path(__file__).resolve().parent.parent / "data"
SETTINGS = {
    "alanine-dipeptide": ReferenceConfig(ladders=32, picoseconds=400.0),
    "alanine-dipeptide-vacuum": ReferenceConfig(ladders=32, picoseconds=400.0),
    "alanine-tetrapeptide": ReferenceConfig(ladders=32, picoseconds=100.0),
    "alanine-hexapeptide": ReferenceConfig(ladders=16, picoseconds=60.0),
    "bonded-toy": ReferenceConfig(ladders=32, picoseconds=100.0),
    "bonded-toy-rotor": ReferenceConfig(ladders=32, picoseconds=100.0),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SETTINGS)}; by default all")
    parser.add_argument("--frames", type=int, default=8192)
    parser.add_argument("--out", type=Path, default=DATA)
    arguments = parser.parse_args()
    for name in arguments.names or SETTINGS:
        if name not in SETTINGS:
            parser.error(f"'{name}' has no settings here; give some of {', '.join(SETTINGS)}")
        print(f"{name}: {make(name, arguments.frames, arguments.out / name)}", flush=True)


def make(name: str, frames: int, folder: Path) -> str:
    config = SETTINGS[name]
    found = reference_ensemble(load_system(name), config)
    ensemble = thinned(found.ensemble, config.ladders, frames)
    command = f"python scripts/make_references.py {name} --frames {frames}"
    settings = config.model_dump()
    ensemble = replace(ensemble, metadata={**ensemble.metadata, "command": command, "settings": settings})
    ensemble.save(folder)
    kept = (ARRAYS, MOLECULE, SUMMARY)
    for path in folder.iterdir():
        if path.name not in kept:
            path.unlink()
    write_checksums(folder, kept)
    energy = found.energy
    return (
        f"{len(ensemble)} frames, {found.evaluations} evaluations,"
        f" <U> = {energy.mean.value:.3f} ± {energy.mean.stderr:.3f} kJ/mol, drift {energy.drift:.1f} errors,"
        f" {'converged' if found.converged else 'NOT converged'}"
    )


def thinned(ensemble: Ensemble, n_ladders: int, frames: int) -> Ensemble:
    """Every so many-th frame of all ladders: about ``frames``, worth as many independent ones as all were."""
    n_times = len(ensemble) // n_ladders
    every = max(1, n_times * n_ladders // frames)
    shape = (n_times, n_ladders)
    x = torch.from_numpy(ensemble.positions).unflatten(0, shape)[every - 1 :: every].flatten(0, 1)
    u = torch.from_numpy(ensemble.reduced_energies).view(shape)[every - 1 :: every].flatten()
    worth = min(ensemble.effective_sample_size, float(len(x)))
    return Ensemble.from_frames(ensemble.molecule, x, u, ensemble.temperature, worth, dict(ensemble.metadata))


if __name__ == "__main__":
    main()
