"""All molecules of a campaign in one table and one file of conformers."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from boltzgen.campaign.folder import MOLECULES, CampaignFolder
from boltzgen.ensemble_folder import CONFORMERS, SUMMARY
from boltzgen.errors import InputError
from boltzgen.files.whole import read_json, write_whole
from boltzgen.records.campaign import Entry
from boltzgen.report.campaign_page import campaign_page

TABLE, PARQUET, SDF, PAGE = "campaign.csv", "campaign.parquet", "campaign.sdf", "index.html"
WITHOUT_PARQUET = (
    f"{PARQUET} is not written, as pyarrow is not there: pip install 'boltzgen-conformers[cluster]'."
)
Row = dict[str, Any]


def collect_campaign(folder: CampaignFolder, conformers: bool = True) -> list[str]:
    """Write the table, its page, and the ``conformers`` of all molecules, to ``folder``.

    Returns
    -------
    list of str
        What was written, and what was not, in sentences.

    Raises
    ------
    InputError
        Where the folder cannot be read or written to.
    """
    rows = list(campaign_rows(folder))
    said = []
    try:
        write_whole(folder.path / TABLE, lambda path: _write_csv(path, rows))
        said.append(f"{folder.path / TABLE}: {len(rows)} molecules.")
        said.append(_write_parquet(folder.path / PARQUET, rows))
        page = campaign_page(folder.path.resolve().name, rows)
        write_whole(folder.path / PAGE, lambda path: path.write_text(page, encoding="utf-8"))
        said.append(f"{folder.path / PAGE}: the same with pictures, to sort and to filter.")
        if conformers:
            counted: list[int] = []
            write_whole(folder.path / SDF, lambda path: counted.append(_write_sdf(path, folder)))
            said.append(f"{folder.path / SDF}: {counted[0]} conformers with their weights.")
    except OSError as error:
        raise InputError(f"{folder.path} cannot be written to ({error.strerror}).") from error
    return said


def campaign_rows(folder: CampaignFolder) -> Iterator[Row]:
    """A row for each molecule in the order of the list: how it ended, and all figures of its summary."""
    ended = folder.ended()
    for entry in folder.entries.values():
        yield _row(folder, entry, ended)


def _row(folder: CampaignFolder, entry: Entry, ended: set[str]) -> Row:
    row: Row = {
        "name": entry.name,
        "line": entry.line,
        "given": entry.smiles,
        "state": "waiting",
        "sentence": entry.problem,
        "folder": f"{MOLECULES}/{entry.name}",
    }
    if entry.problem:
        row |= {"state": "refused"}
    elif entry.same_as:
        row |= {"state": "duplicate", "sentence": f"the same molecule as '{entry.same_as}'"}
        row["folder"] = f"{MOLECULES}/{entry.same_as}"
    elif entry.name in ended:
        outcome = folder.outcome(entry.name)
        row |= {
            "state": outcome.state,
            "sentence": outcome.sentence,
            "attempts": outcome.attempts,
            "smaller": outcome.smaller,
            "seconds": outcome.seconds,
            "worker": outcome.worker,
            "finished": outcome.finished,
        }
        summary = folder.run_folder(entry.name) / SUMMARY
        if summary.exists():
            try:
                row |= dict(flattened(read_json(summary)))
            except InputError as error:
                row["sentence"] = f"{row['sentence']} {error}".strip()
    return row


def flattened(summary: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The figures of a summary by name, those within others with a dot between.

    Of lists only sentences are kept, and of the conformers the first.

    >>> dict(flattened({"n_atoms": 9, "wall_seconds": {"total": 3.0}, "warnings": ["a", "b"]}))
    {'n_atoms': 9, 'wall_seconds.total': 3.0, 'warnings': 'a; b'}
    """
    for name, value in summary.items():
        if name == "training_history":
            continue
        if isinstance(value, Mapping):
            yield from flattened(value, f"{prefix}{name}.")
        elif name == "main_conformers" and value:
            chosen = {key: value[0].get(key) for key in ("states", "population", "population_stderr")}
            yield from flattened(chosen, "main_conformer.")
        elif isinstance(value, list):
            if all(isinstance(item, str) for item in value):
                yield f"{prefix}{name}", "; ".join(value)
        else:
            yield f"{prefix}{name}", value


def _columns(rows: Iterable[Row]) -> list[str]:
    """Names of all columns, in the order in which they come."""
    return list(dict.fromkeys(name for row in rows for name in row))


def _write_csv(path: Path, rows: list[Row]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, _columns(rows))
        writer.writeheader()
        writer.writerows(rows)


def _write_parquet(path: Path, rows: list[Row]) -> str:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        return WITHOUT_PARQUET
    columns = {name: [row.get(name) for row in rows] for name in _columns(rows)}
    table = pyarrow.table({name: _array(pyarrow, values) for name, values in columns.items()})
    write_whole(path, lambda partial: pyarrow.parquet.write_table(table, partial))
    return f"{path}: the same table."


def _array(pyarrow: Any, values: list[Any]) -> Any:
    """Numbers of one column may be whole in one row and not in another."""
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if any(isinstance(value, float) for value in numbers):
        values = [None if value is None else float(value) for value in values]
    return pyarrow.array(values)


def _write_sdf(path: Path, folder: CampaignFolder) -> int:
    """The conformers of every run, titled by the names of the campaign; how many."""
    n = 0
    with path.open("w", encoding="utf-8") as stream:
        for name in folder.to_sample:
            source = folder.run_folder(name) / CONFORMERS
            if source.exists() and folder.has_ended(name):
                with source.open(encoding="utf-8") as records:
                    n += _copy_records(records, stream, name)
    return n


def _copy_records(records: TextIO, stream: TextIO, title: str) -> int:
    n, at_title = 0, True
    for line in records:
        stream.write(f"{title}\n" if at_title else line)
        at_title = line.startswith("$$$$")
        n += at_title
    return n
