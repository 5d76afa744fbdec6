"""Every row of the table of faults names tests that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_fault_names_its_tests():
    defined = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        defined |= set(re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE))
    table = (ROOT / "docs" / "faults.md").read_text().split("## What happens")[1]
    rows = [line for line in table.splitlines() if line.startswith("| ") and not line.startswith("| fault")]
    assert len(rows) > 15
    for row in rows:
        named = re.findall(r"`(test_\w+)`", row)
        assert named, row
        assert set(named) <= defined, row
