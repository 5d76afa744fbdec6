"""The energy benchmark reads lists of molecules as people write them and times whole processes."""

import importlib.util
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "benchmark_energies.py"


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("benchmark_energies", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_list_of_molecules_is_read_as_people_write_it(benchmark, tmp_path):
    path = tmp_path / "list.smi"
    path.write_text("# a list\n\nCCO ethanol\nCCC\nCCN\tan amine  \nCCCC ethanol\n")
    found = {name: spec for name, (spec, _, _) in benchmark.read_molecules(path).items()}
    assert found == {"ethanol": "CCO", "CCC": "CCC", "an amine": "CCN", "ethanol 2": "CCCC"}
    for bad in ("missing.smi", "empty.smi"):
        (tmp_path / "empty.smi").write_text("# nothing\n")
        with pytest.raises(SystemExit, match=bad):
            benchmark.read_molecules(tmp_path / bad)


def test_first_energy_is_timed_from_the_start_of_the_process(benchmark, monkeypatch):
    """A process that takes long before it measures anything itself."""

    def slow(*_, **__):
        time.sleep(0.2)
        return [0.01]

    monkeypatch.setattr(benchmark, "probe", slow)
    found = benchmark.first_energy()
    assert found["first_energy_cold_seconds"] >= 0.2
    assert found["compilation_cold_seconds"] == 0.01
