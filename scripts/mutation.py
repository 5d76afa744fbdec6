#!/usr/bin/env python
"""Do the tests find faults? Plants those of faults.py one at a time in a copy of the tree and runs the tests.

    python scripts/mutation.py [--workers N] [--json FILE] [--only WORDS] [--whole]

For each fault the tests that should find it run first (``pytest -x -m 'not slow'``), then, where these pass
and --whole is given, all the others that are not slow. A fault that no test finds has survived: it needs a
test. A fault whose text is in the package no longer, or not once, ends the script with its name: change it
along with the code.

--json keeps what is done, so that a run that was stopped goes on there; results of other texts of a fault or
of the package are made again. --only: faults whose description has these words.
Exit code 1 where a fault survived.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from faults import FAULTS, Fault

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "boltzgen"
COPIED = (PACKAGE, "tests", "systems", "scripts", "data", "pyproject.toml", "README.md")
SECONDS = 1200.0  # for the tests of one fault
NO_END = f" without end within {SECONDS:g} s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--json", type=Path, help="results, and where an earlier run stopped")
    parser.add_argument("--only", default="", help="faults whose description has these words")
    parser.add_argument("--whole", action="store_true", help="all tests where those of a fault pass")
    arguments = parser.parse_args()
    places = {fault: place(fault) for fault in FAULTS}  # all, so that a text that is gone is seen at once
    chosen = [fault for fault in FAULTS if arguments.only in fault.what]
    package = package_digest()
    done: dict[str, dict] = {}
    if arguments.json is not None and arguments.json.exists():
        rows = json.loads(arguments.json.read_text())["faults"]
        done = {row["what"]: row for row in rows if row["package"] == package}
    pending = [fault for fault in chosen if done.get(fault.what, {}).get("new") != fault.new]

    def keep(fault: Fault) -> None:
        began = time.monotonic()
        found_by = test(fault, places[fault], arguments.whole)
        row = {
            "what": fault.what,
            "file": str(places[fault]),
            "old": fault.old,
            "new": fault.new,
            "found_by": found_by,
            "seconds": round(time.monotonic() - began, 1),
            "package": package,
        }
        done[fault.what] = row
        print_row(row)
        if arguments.json is not None:
            text = json.dumps({"faults": list(done.values())}, indent=1, ensure_ascii=False)
            arguments.json.write_text(text, encoding="utf-8")

    for fault in chosen:
        if fault not in pending:
            print_row(done[fault.what])
    with ThreadPoolExecutor(arguments.workers) as pool:
        list(pool.map(keep, pending))
    survivors = [fault.what for fault in chosen if not done[fault.what]["found_by"]]
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} faults found")
    if survivors:
        sys.exit("survived: " + "; ".join(survivors))


def place(fault: Fault) -> Path:
    """The one file of the package, relative to the root, that has the fault's text once."""
    counts = {
        path: path.read_text(encoding="utf-8").count(fault.old) for path in (ROOT / PACKAGE).rglob("*.py")
    }
    holders = [path for path, count in counts.items() if count]
    if len(holders) != 1 or counts[holders[0]] != 1:
        where = ", ".join(f"{path.relative_to(ROOT)} ({counts[path]} times)" for path in holders) or "nowhere"
        raise SystemExit(f"The text of the fault '{fault.what}' is {where}, not once: {fault.old!r}")
    return holders[0].relative_to(ROOT)


def package_digest() -> str:
    """Of the text of package and tests: results of other texts do not count."""
    digest = hashlib.sha256()
    for folder in (PACKAGE, "tests"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def test(fault: Fault, file: Path, whole: bool) -> str:
    """The first test that fails with the fault, or "" where none does."""
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        tree = copied_tree(Path(folder))
        text = (tree / file).read_text(encoding="utf-8")
        for tests in (fault.tests, ("tests",)) if whole else (fault.tests,):
            (tree / file).write_text(text.replace(fault.old, fault.new), encoding="utf-8")
            failed = first_failure(tree, tests)
            (tree / file).write_text(text, encoding="utf-8")
            if failed and first_failure(tree, (failed.removesuffix(NO_END),)):
                raise SystemExit(f"{failed} fails without a fault: mend it first")
            if failed:
                return failed
    return ""


def copied_tree(folder: Path) -> Path:
    """``folder`` with a copy of what the tests need."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy(source, folder / name)
    return folder


def first_failure(tree: Path, tests: tuple[str, ...]) -> str:
    """The first of ``tests`` that fails in ``tree``; what takes too long fails too."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-m", "not slow", "-p", "no:cacheprovider", *tests]
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.setdefault("OMP_NUM_THREADS", "1")
    try:
        run = subprocess.run(
            command, cwd=tree, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return tests[0] + NO_END
    if run.returncode == 0:
        return ""
    lines = [line for line in run.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    if not lines:
        raise SystemExit(f"pytest did not run: {run.stdout[-2000:]}{run.stderr[-2000:]}")
    return lines[0].partition(" ")[2].partition(" - ")[0]


def print_row(row: dict) -> None:
    verdict = f"found by {row['found_by']}" if row["found_by"] else "SURVIVED"
    print(f"{row['what']} ({row['file']}): {verdict} ({row['seconds']:g} s)", flush=True)


if __name__ == "__main__":
    main()
