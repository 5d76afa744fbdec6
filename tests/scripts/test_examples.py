"""Every example runs to its end."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "scripts" / "examples").glob("*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_run(path, tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", path, "--seconds", "6"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "±" in done.stdout


def test_examples_say_how_they_are_run():
    assert EXAMPLES
    for path in EXAMPLES:
        assert f"python scripts/examples/{path.name}" in path.read_text(encoding="utf-8")
