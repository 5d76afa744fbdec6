"""The folder of a run that may have been cut short: whose it is, and whether it can go on."""

from __future__ import annotations

from pathlib import Path

from boltzgen.ensemble_folder import CHECKPOINT, CONFIG, ENSEMBLE_FILES, SUMMARY, require_free_folder
from boltzgen.errors import InputError
from boltzgen.workflows.config import SampleConfig, read_config


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


def clear_checkpoint(folder: Path) -> None:
    """What is only for going on is removed from a finished run."""
    (folder / CHECKPOINT).unlink(missing_ok=True)
