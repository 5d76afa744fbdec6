"""Benchmarks read lists of molecules as people write them; that of energies times whole processes."""

import importlib
import sys
import time
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture
def scripts(monkeypatch):
    """Where a script's own imports are found when it is run."""
    monkeypatch.setattr(sys, "path", [str(SCRIPTS), *sys.path])


@pytest.fixture
def benchmark(scripts):
    return importlib.import_module("benchmark_energies")


def test_list_of_molecules_is_read_as_people_write_it(scripts, tmp_path):
    read_molecules = importlib.import_module("molecule_list").read_molecules
    path = tmp_path / "list.smi"
    path.write_text("# a list\n\nCCO ethanol\nCCC\nCCN\tan amine  \nCCCC ethanol\n")
    assert read_molecules(path) == {"ethanol": "CCO", "CCC": "CCC", "an amine": "CCN", "ethanol 2": "CCCC"}
    for bad in ("missing.smi", "empty.smi"):
        (tmp_path / "empty.smi").write_text("# nothing\n")
        with pytest.raises(SystemExit, match=bad):
            read_molecules(tmp_path / bad)


def test_first_energy_is_timed_from_the_start_of_the_process(benchmark, monkeypatch):
    """A process that takes long before it measures anything itself."""

    def slow(*_, **__):
        time.sleep(0.2)
        return [0.01]

    monkeypatch.setattr(benchmark, "probe", slow)
    found = benchmark.first_energy()
    assert found["first_energy_cold_seconds"] >= 0.2
    assert found["compilation_cold_seconds"] == 0.01
