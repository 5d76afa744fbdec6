"""Every command and code block of the documentation runs, and every link leads somewhere.

Bash blocks run page by page, in order, in a folder with the files that the pages speak of; ``boltzgen`` there
is the command line with small settings appended. Python blocks of a page run as one program, in order. A
block that cannot run has a comment before it, ``<!-- not run: reason -->``, and is listed in ``NOT_RUN``.
"""

import json
import os
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openmm
import pytest

import boltzgen
from boltzgen.systems import load_system
from tests.molecules.test_reading import embedded, write_sdf

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "data" / "README.md")
)
RUN = ("bash", "python")
SHOWN = ("mermaid", "text", "toml")  # languages that nothing runs
NOT_RUN = {
    ("README.md", "installs an environment; scripts/test itself runs the tests that read this page"),
    ("README.md", "needs a Slurm cluster"),
    ("docs/free_energy.md", "trains on energies of a program, which takes minutes"),
}
SECONDS = 300

COMMAND_LINE = f"""#!{sys.executable}
import sys
from boltzgen.cli import main

small = {{
    "sample": ["--budget", "2s", "-n", "200"],
    "reference": ["--picoseconds", "2", "--ladders", "4"],
    "compare": ["--budget", "1s", "-n", "200"],
    "campaign": ["--budget", "2s", "-n", "200"],
    "free-energy": ["--budget", "2s", "-n", "500"],
}}
if sys.argv[1] != "systems" and "--help" not in sys.argv:
    sys.argv += small.get(sys.argv[1], [])
try:
    main()
except SystemExit as end:
    sys.exit(0 if end.code in (3, 4) else end.code)  # not converged, in so little time
"""
PROGRAM = """
import json, sys
import boltzgen.workflows.config as config

config.default_budget = lambda n_atoms: 4.0
namespace = {"__name__": "documentation"}
for name, line, text in json.load(open(sys.argv[1])):
    exec(compile("\\n" * line + text, name, "exec"), namespace)
"""


@dataclass(frozen=True)
class Block:
    """A fenced block: its page, the line of its fence, its language, and why it is not run, if it is not."""

    page: str
    line: int
    language: str
    text: str
    reason: str | None


def blocks(page: str) -> list[Block]:
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    found, start = [], None
    for number, line in enumerate(lines):
        if not line.startswith("```"):
            continue
        if start is None:
            start = number
            continue
        marker = re.fullmatch(r"<!-- not run: (.+) -->", lines[start - 1])
        text = "\n".join(lines[start + 1 : number]) + "\n"
        reason = None if marker is None else marker[1]
        found.append(Block(page, start + 1, lines[start].removeprefix("```"), text, reason))
        start = None
    assert start is None, f"{page}: the block of line {start} has no end"
    return found


@pytest.fixture
def folder(tmp_path):
    """Files that the pages speak of: ethanol as structure, conformers and system.xml; energies of samples."""
    for name in ("structure.sdf", "conformers.sdf"):
        write_sdf(tmp_path / name, embedded("CCO"))
    system = load_system(str(tmp_path / "structure.sdf")).system
    (tmp_path / "system.xml").write_text(openmm.XmlSerializer.serialize(system))
    rows = [f"{sample},{-115.7 + 1e-4 * (sample % 7)}" for sample in range(100)]
    (tmp_path / "energies.csv").write_text("\n".join(["sample,energy_hartree", *rows]))
    (tmp_path / "data").symlink_to(ROOT / "data")
    program = tmp_path / "bin" / "boltzgen"
    program.parent.mkdir()
    program.write_text(COMMAND_LINE)
    program.chmod(0o755)
    return tmp_path


def run(folder: Path, arguments: list[str], what: str) -> None:
    environment = os.environ | {
        "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        arguments, cwd=folder, env=environment, capture_output=True, text=True, timeout=SECONDS
    )
    assert done.returncode == 0, f"{what} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"


def pages_with(language: str, slow: bool) -> list[Any]:
    """Pages that have blocks in ``language``; where they are ``slow``, README.md alone runs every time."""
    return [
        pytest.param(page, marks=pytest.mark.slow if slow and page != "README.md" else ())
        for page in PAGES
        if any(block.language == language for block in blocks(page))
    ]


@pytest.mark.parametrize("page", pages_with("bash", slow=True))
def test_commands_run(page, folder):
    for block in blocks(page):
        if block.language == "bash" and block.reason is None:
            run(folder, ["bash", "-euo", "pipefail", "-c", block.text], f"{page}:{block.line}")


@pytest.mark.parametrize("page", pages_with("python", slow=False))
def test_python_runs(page, folder):
    chosen = [block for block in blocks(page) if block.language == "python" and block.reason is None]
    (folder / "blocks.json").write_text(json.dumps([(b.page, b.line, b.text) for b in chosen]))
    (folder / "program.py").write_text(PROGRAM)
    run(folder, [sys.executable, "-W", "error", "program.py", "blocks.json"], page)


def test_no_block_is_left_out_silently():
    every = [block for page in PAGES for block in blocks(page)]
    assert {block.language for block in every} <= {*RUN, *SHOWN}
    skipped = {(block.page, block.reason) for block in every if block.reason is not None}
    assert skipped == NOT_RUN


def test_versions_agree():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    citation = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), flags=re.M)
    assert project == boltzgen.__version__
    assert citation is not None
    assert citation[1] == project


def test_readme_is_read_in_five_minutes():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    text = re.sub(r"^```.*?^```$", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        assert re.match(r"https?://", target) or ((ROOT / page).parent / target).exists(), target
