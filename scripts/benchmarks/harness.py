"""What every benchmark here shares: its options, its lists of molecules, its record on disk and its tables.

A benchmark prints its tables and hands its figures to a ``Recorder``. With ``--json`` the record is
kept, by default as data/benchmarks/NAME.json: the figures, and the command, machine, versions and commit
that they came from. ``write_tables.py`` makes BENCHMARKS.md of these records.
"""

import argparse
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from boltzgen.files.whole import json_text
from boltzgen.report.comparison import Rows
from boltzgen.workflows.versions import package_versions

ROOT = Path(__file__).resolve().parents[2]
RECORDS = ROOT / "data" / "benchmarks"
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Column:
    """A column of a table: its title and the text of its cell in a row."""

    title: str
    cell: Callable[[Any], str]


def figure(key: str, form: str = "", scale: float = 1.0) -> Callable[[Row], str]:
    """The cell with ``row[key]`` times ``scale`` in the format ``form``; empty without such a figure."""

    def cell(row: Row) -> str:
        value = row.get(key)
        if value is None:
            return ""
        return format(value * scale if isinstance(value, int | float) and scale != 1.0 else value, form)

    return cell


def table(title: str, rows: Iterable[Any], columns: Sequence[Column]) -> Rows:
    """The table of ``rows``, cell by cell."""
    titles = [column.title for column in columns]
    return Rows(title, titles, [[column.cell(row) for column in columns] for row in rows])


def show(rows: Rows) -> None:
    """Print a table on the terminal."""
    shown = Table(title=escape(rows.title), title_justify="left")
    for number, title in enumerate(rows.columns):
        shown.add_column(escape(title), justify="right" if number else "left", no_wrap=not number)
    for line in rows.rows:
        shown.add_row(*map(escape, line))
    Console(width=170).print(shown)


def markdown(rows: Rows) -> str:
    """A table in Markdown, its title in a line before it."""
    lines = [rows.columns, ["---"] * len(rows.columns), *rows.rows]
    cells = "\n".join("| " + " | ".join(text.replace("|", "\\|") for text in line) + " |" for line in lines)
    return f"{rows.title}:\n\n{cells}" if rows.title else cells


@dataclass(frozen=True)
class Benchmark:
    """What BENCHMARKS.md says of a benchmark.

    name: of the script and of its record. title: the heading. text: what is measured, in Markdown. command:
    the one whose record is kept. tables: those of its figures.
    """

    name: str
    title: str
    text: str
    command: str
    tables: Callable[[Any], list[Rows]]

    def show(self, figures: Any) -> None:
        """Print all tables on the terminal."""
        for rows in self.tables(figures):
            show(rows)


def option_parser(benchmark: Benchmark, description: str | None, quick: str) -> argparse.ArgumentParser:
    """A parser with the options that all benchmarks have; ``quick`` says what --quick leaves out."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--json",
        type=Path,
        nargs="?",
        const=RECORDS / f"{benchmark.name}.json",
        metavar="FILE",
        help=f"keep the record; without a FILE as data/benchmarks/{benchmark.name}.json",
    )
    parser.add_argument("--quick", action="store_true", help=quick)
    return parser


def add_molecules_option(parser: argparse.ArgumentParser, help: str = "SMILES and name per line") -> None:
    """Give ``parser`` the option --molecules FILE.smi."""
    parser.add_argument("--molecules", type=Path, metavar="FILE.smi", help=help)


class Recorder:
    """Writes the record of a run, again after every molecule, so that a run cut short leaves what it had."""

    def __init__(self, benchmark: Benchmark, path: Path | None, quick: bool) -> None:
        self.benchmark, self.path, self.quick = benchmark, path, quick
        self.origin = {"date": datetime.now(UTC).strftime("%Y-%m-%d"), **origin()}

    def keep(self, figures: Any) -> None:
        """Write ``figures`` with where they come from, if the run was asked to."""
        if self.path is None:
            return
        record = {
            "benchmark": self.benchmark.name,
            "command": shlex.join(["python", *_relative(sys.argv)]),
            "quick": self.quick,
            **self.origin,
            "figures": figures,
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json_text(record), encoding="utf-8")


def origin() -> dict[str, Any]:
    """Commit, machine and versions, as they are now.

    The machine's load average is the number of processes that wanted a core during the last minute: rates
    that were measured beside other work are too low.
    """
    return {
        "commit": _commit(),
        "machine": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
            "load_average": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
            "system": f"{platform.system()} {platform.machine()}",
        },
        "versions": package_versions(),
    }


def read_molecules(path: Path) -> dict[str, str]:
    """SMILES by name from lines "SMILES name"; without a name the SMILES is it; # starts a comment line."""
    molecules: dict[str, str] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SystemExit(f"'{path}' cannot be read as a list of molecules: {error}") from error
    for line in lines:
        smiles, *rest = line.split(maxsplit=1) or ["#"]
        if not smiles.startswith("#"):
            label = name = rest[0].strip() if rest else smiles
            copy = 2
            while name in molecules:
                name, copy = f"{label} {copy}", copy + 1
            molecules[name] = smiles
    if not molecules:
        raise SystemExit(f"'{path}' names no molecule: write a SMILES and a name on each line")
    return molecules


def _relative(arguments: list[str]) -> list[str]:
    """Command-line arguments, paths below the repository relative to it."""
    prefix = f"{ROOT}{os.sep}"
    return [argument.removeprefix(prefix) for argument in (os.path.abspath(arguments[0]), *arguments[1:])]


def _commit() -> str:
    """The commit that was measured, with "-changed" where files differ from it; "unknown" without git."""
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=-changed"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return described.stdout.strip()


def _processor() -> str:
    """The processor's name: from /proc on Linux, elsewhere as Python knows it."""
    path = Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
