"""The folder of a run that may have been cut short: whose it is, and whether it can go on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from boltzgen.ensemble import Ensemble
from boltzgen.ensemble_folder import (
    CHECKPOINT,
    CONFIG,
    EARLIER_CHECKPOINT,
    ENSEMBLE_FILES,
    REPORT,
    SUMMARY,
    require_free_folder,
    write_missing,
)
from boltzgen.errors import InputError
from boltzgen.files.lock import FolderLock
from boltzgen.files.whole import remove_partials, write_whole
from boltzgen.report.page import report_page
from boltzgen.workflows.config import SampleConfig, read_config


@contextmanager
def held_folder(out: str | Path | None, config: SampleConfig, resume: bool) -> Iterator[Path | None]:
    """The folder of the run of ``config``, as ``require_folder`` says, in which no other run writes.

    What a killed writer left half written is removed.
    """
    if out is None:
        yield None
        return
    with FolderLock(Path(out)):
        folder = require_folder(out, config, resume)
        remove_partials(folder)
        yield folder


def require_folder(out: str | Path, config: SampleConfig, resume: bool) -> Path:
    """The folder that the run of ``config`` writes to: a free one, or with ``resume`` one that it began.

    Files of an ensemble that were written without the summary, which comes last, are removed: they will be
    written again. Raises InputError where the folder holds another run.
    """
    folder = Path(out)
    if not resume or not (folder / CONFIG).exists():
        return require_free_folder(folder)
    began = read_config(folder / CONFIG)
    for name in SampleConfig.model_fields:
        theirs, ours = getattr(began, name), getattr(config, name)
        if theirs != ours:
            raise InputError(
                f"{folder} holds a run with other settings ('{name}' is {theirs!r} there, {ours!r} here):"
                " give the same settings, or another folder."
            )
    if not is_finished(folder):
        for name in ENSEMBLE_FILES:
            (folder / name).unlink(missing_ok=True)
    return folder


def is_finished(folder: Path) -> bool:
    """Whether ``folder`` holds a whole run."""
    return (folder / SUMMARY).exists()


def completed(folder: Path) -> Ensemble:
    """The ensemble of the finished run in ``folder``; files that are made from it and are missing are made.

    A run that is killed after its summary leaves the report to be made. Raises InputError where files are
    damaged.
    """
    ensemble = Ensemble.load(folder)
    write_missing(folder, ensemble.files())
    if not (folder / REPORT).exists():
        write_report(folder, ensemble)
    clear_checkpoint(folder)
    return ensemble


def write_report(folder: Path, ensemble: Ensemble) -> None:
    """The page that shows ``ensemble``."""
    write_whole(folder / REPORT, lambda path: path.write_text(report_page(ensemble), encoding="utf-8"))


def clear_checkpoint(folder: Path) -> None:
    """What is only for going on is removed from a finished run."""
    (folder / CHECKPOINT).unlink(missing_ok=True)
    (folder / EARLIER_CHECKPOINT).unlink(missing_ok=True)
