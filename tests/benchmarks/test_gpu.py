"""The benchmark of GPUs: a saved problem is enough, wrong results are not timed, waits are seen."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from .conftest import FOLDER

WITH_TORCH_ALONE = """
import runpy, sys
for name in ("rdkit", "openmm", "mdtraj"):
    sys.modules[name] = None
sys.path.insert(0, sys.argv[1])
sys.argv = ["gpu.py", *sys.argv[2:]]
runpy.run_path(sys.argv.pop(1), run_name="__main__")
"""


@pytest.fixture(scope="module")
def problem(tmp_path_factory):
    """The file that ``--prepare`` writes."""
    folder = tmp_path_factory.mktemp("problems")
    command = [sys.executable, str(FOLDER / "gpu.py"), "--prepare", str(folder), "--quick"]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    (path,) = folder.iterdir()
    return path


def test_it_runs_on_a_machine_with_torch_alone(problem, tmp_path):
    arguments = [
        FOLDER,
        FOLDER / "gpu.py",
        problem,
        "--device",
        "cpu",
        "--quick",
        "--json",
        tmp_path / "gpu.json",
    ]
    command = [sys.executable, "-c", WITH_TORCH_ALONE, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "Energies with gradients a second" in done.stdout
    (row,) = json.loads((tmp_path / "gpu.json").read_text())["figures"]["rows"]
    assert row["device"] == "cpu"
    assert [rate["batch"] for rate in row["energies"]] == [64, 1024]
    assert {stage["stage"] for stage in row["training"]} >= {"likelihood"}
    assert row["dynamics"]["walker_steps_per_second"] > 0


def test_a_device_that_computes_something_else_is_not_timed(problem, script, monkeypatch):
    benchmark = script("gpu")
    right = benchmark.errors

    def wrong(problem):
        return replace(right(problem), log_prob=0.3)

    monkeypatch.setattr(benchmark, "errors", wrong)
    row = benchmark.measure(problem, torch.device("cpu"), quick=True)
    assert "energies" not in row
    assert row["energy_error"] < 0.01
    assert row["log_prob_error"] == 0.3


@pytest.mark.parametrize(
    ("name", "work"),
    [
        ("aten::_local_scalar_dense", lambda x: bool((x > 0).any())),
        ("aten::_local_scalar_dense", lambda x: float(x.sum())),
        ("aten::nonzero", lambda x: torch.nonzero(x)),
        ("aten::index", lambda x: x[x > 0]),
        ("aten::_unique2", lambda x: x.unique()),
        (None, lambda x: torch.where(x > 0, x, 0.0)[torch.arange(2)].sum()),
    ],
)
def test_waits_are_seen(name, work, script):
    with script("waits").Waits() as seen:
        work(torch.arange(3.0))
    assert set(seen.waits) == ({name} if name else set())
    assert seen.operations > 0
