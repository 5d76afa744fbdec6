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
    "conformers": ["--names", "butane, gauche"],
    "coordinates": [],
    "energies": [],
    "entropy": ["--names", "methanol"],
    "hydration": ["--budget", "24", "--names", "methanol"],
    "molecules": ["--budget", "5", "--samples", "1000"],
    "objectives": ["--seconds", "2", "--evaluations", "10000"],
    "peptides": ["--budget", "10", "--samples", "1000", "--model-samples", "1000", "--reference-dir", "data"],
    "sample": ["--samples", "1000"],
    "scaling": [],
    "time_to_answer": ["--reference-picoseconds", "10"],
}


def freesolv(path):
    columns = "smiles,name,experimental_kcal_mol,experimental_error_kcal_mol,explicit_solvent_kcal_mol"
    path.write_text(f"{columns}\nCO,methanol,-5.1,0.6,-3.49\nCCO,ethanol,-5.0,0.6,-3.39\n")
    return path


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SMALL))
def test_runs_and_its_record_makes_its_tables(name, script, tmp_path):
    molecules, record = tmp_path / "list.smi", tmp_path / "record.json"
    molecules.write_text("CCO ethanol\n")
    arguments = ["--quick", "--json", str(record), *SMALL[name]]
    if name == "hydration":
        arguments = [str(freesolv(tmp_path / "measured.csv")), *arguments]
    elif name not in ("peptides", "conformers", "entropy", "scaling"):
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
