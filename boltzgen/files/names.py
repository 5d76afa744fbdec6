"""The names of the files in the folder of a run."""

from boltzgen.files.checksums import SUMS

ARRAYS, MOLECULE, SUMMARY = "ensemble.npz", "molecule.json", "summary.json"
CONFORMERS, TRAJECTORY, TOPOLOGY = "conformers.sdf", "trajectory.dcd", "topology.pdb"
# A molecule or system that a program gave to the run, where config.toml has no name for it.
INPUT = "input.json"
MODEL, CONFIG, REPORT = "model.safetensors", "config.toml", "report.html"
# Of a run under way or cut short; a finished one has none of these.
CHECKPOINT, EARLIER_CHECKPOINT = "checkpoint.safetensors", "checkpoint-earlier.safetensors"
PROBLEM, SESSION = "problem.safetensors", "session.safetensors"
UNFINISHED_FILES = (CHECKPOINT, EARLIER_CHECKPOINT, PROBLEM, SESSION)
ENSEMBLE_FILES = (ARRAYS, MOLECULE, CONFORMERS, TRAJECTORY, TOPOLOGY, SUMS, SUMMARY)
RUN_FILES = (*ENSEMBLE_FILES, INPUT, MODEL, CONFIG, REPORT, *UNFINISHED_FILES)
