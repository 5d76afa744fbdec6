"""A problem comes back from its file with torch alone; models train and draw from it as from the first."""

import subprocess
import sys

import pytest
import torch

from boltzgen.errors import InputError
from boltzgen.files.tensors import load_tensors, save_tensors
from boltzgen.problem import KIND, Problem
from boltzgen.progress import Stopwatch
from boltzgen.sampling.frames import FramesConfig
from boltzgen.training.config import TrainingConfig
from boltzgen.training.families import family, untrained_model
from boltzgen.training.trainer import train
from boltzgen.workflows.config import SampleConfig
from boltzgen.workflows.training_data import energy_data

SETTINGS = {"torsion_couplings": 2, "torsion_hidden": 8, "stiff_couplings": 2, "stiff_hidden": 8}
CONFIG = SampleConfig(
    molecule="C[C@H](O)F",
    solvent="obc2",
    frames=FramesConfig(ladders=8, picoseconds=0.5, walkers=16, local_picoseconds=1.0),
    training=TrainingConfig(max_steps=5, batch_size=16),
)

WITH_TORCH_ALONE = """
import sys
for name in ("rdkit", "openmm", "mdtraj"):
    sys.modules[name] = None
from boltzgen.files.tensors import load_tensors, save_tensors
from boltzgen.problem import KIND, Problem
from tests.test_problem import trained_samples
print(float(trained_samples(Problem.load(sys.argv[1]))))
"""


@pytest.fixture(scope="module")
def problem() -> Problem:
    from boltzgen.workflows.preparation import prepare  # needs RDKit, which this file is also read without

    return prepare(CONFIG, torch.Generator().manual_seed(0), Stopwatch())


def trained_samples(problem: Problem) -> torch.Tensor:
    """A number of the samples of a model that is built from ``problem`` and trained for some steps."""
    torch.manual_seed(1)
    generator = torch.Generator().manual_seed(2)
    model = untrained_model("flow", SETTINGS, problem)
    data = energy_data(problem, model, generator)
    train(model, family("flow").stages(model, data, CONFIG.training), CONFIG.training)
    with torch.no_grad():
        x, log_q = model.sample_with_log_prob(8, generator)
        return (problem.target.reduced_energy(x).double() + log_q.double()).sum()


def test_a_saved_problem_is_the_same(problem, tmp_path):
    problem.save(tmp_path / "problem.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["problem.safetensors"]
    evaluations = problem.target.evaluations
    loaded = Problem.load(tmp_path / "problem.safetensors")
    assert loaded.target.evaluations == evaluations
    assert loaded.frames.config == CONFIG.frames
    assert torch.equal(loaded.frames.thermal.positions, problem.frames.thermal.positions)
    assert loaded.molecule.smiles == problem.molecule.smiles
    assert loaded.system.solvent == "obc2"
    assert loaded.system.system.getNumForces() == problem.system.system.getNumForces()
    x = problem.frames.thermal.tempered[:5]
    assert torch.equal(loaded.target.reduced_energy(x), problem.target.reduced_energy(x))
    for one, same in zip(
        loaded.coordinates.from_positions(x), problem.coordinates.from_positions(x), strict=True
    ):
        assert torch.equal(one, same)
    loaded.save(tmp_path / "again.safetensors")  # without its molecule having been read
    assert torch.equal(Problem.load(tmp_path / "again.safetensors").masses, problem.masses)


def test_models_train_and_draw_where_only_torch_is_installed(problem, tmp_path):
    problem.save(tmp_path / "problem.safetensors")
    printed = subprocess.run(
        [sys.executable, "-c", WITH_TORCH_ALONE, str(tmp_path / "problem.safetensors")],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert float(printed) == pytest.approx(float(trained_samples(problem)), rel=1e-5)


def test_what_is_no_problem_is_refused(problem, tmp_path):
    (tmp_path / "text.safetensors").write_text("nothing of the kind")
    save_tensors(tmp_path / "energy.safetensors", {}, "boltzgen energy 1")
    for name in ("text.safetensors", "energy.safetensors", "missing.safetensors"):
        with pytest.raises(InputError, match=name):
            Problem.load(tmp_path / name)
    problem.save(tmp_path / "whole.safetensors")
    content = load_tensors(tmp_path / "whole.safetensors", KIND)
    for name in ("terms", "coordinates", "thermal"):
        part = {key: value for key, value in content.items() if key != name}
        save_tensors(tmp_path / "part.safetensors", part, KIND)
        with pytest.raises(InputError, match="damaged problem"):
            Problem.load(tmp_path / "part.safetensors")
