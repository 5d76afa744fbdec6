"""Every benchmark runs on a small molecule, and its record makes its tables."""

import json
import os
import subprocess
import sys

import pytest

from tests.benchmarks.conftest import FOLDER
from tests.test_documentation import ROOT

SMALL = {
    "compare": ["--models", "flow,vae"],
    "coordinates": [],
    "energies": [],
    "molecules": ["--budget", "5", "--samples", "1000"],
    "objectives": ["--seconds", "2", "--evaluations", "10000"],
    "peptides": ["--budget", "10", "--samples", "1000", "--model-samples", "1000", "--reference-dir", "data"],
    "sample": ["--samples", "1000"],
    "time_to_answer": ["--reference-picoseconds", "10"],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SMALL))
def test_runs_and_its_record_makes_its_tables(name, script, tmp_path):
    molecules, record = tmp_path / "list.smi", tmp_path / "record.json"
    molecules.write_text("CCO ethanol\n")
    arguments = ["--quick", "--json", str(record), *SMALL[name]]
    if name != "peptides":
        arguments += ["--molecules", str(molecules)]
    done = subprocess.run(
        [sys.executable, str(FOLDER / f"{name}.py"), *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=550,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    benchmark = script(name).BENCHMARK
    tables = benchmark.tables(json.loads(record.read_text(encoding="utf-8"))["figures"])
    assert all(len(row) == len(table.columns) for table in tables for row in table.rows)
    assert any(table.rows for table in tables)
