"""The folder of a run: whose it is, what a run that is cut short leaves in it, and how results get there."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

from boltzgen.ensemble import Ensemble
from boltzgen.ensemble_folder import require_free_folder, write_missing
from boltzgen.errors import InputError, UnsavedResultsError
from boltzgen.files.given import read_text
from boltzgen.files.lock import FolderLock
from boltzgen.files.names import (
    CHECKPOINT,
    CONFIG,
    ENSEMBLE_FILES,
    INPUT,
    MODEL,
    PROBLEM,
    REPORT,
    SESSION,
    SUMMARY,
    UNFINISHED_FILES,
)
from boltzgen.files.tensors import load_tensors, save_tensors
from boltzgen.files.whole import remove_partials, write_whole
from boltzgen.models.model import Model
from boltzgen.molecules.molecule import Molecule
from boltzgen.problem import Problem
from boltzgen.progress import Stopwatch
from boltzgen.report.page import report_page
from boltzgen.systems import MolecularSystem
from boltzgen.systems.stored import MOST_MEGABYTES, stored_text, write_stored
from boltzgen.training.checkpoint import Checkpoints, fingerprint
from boltzgen.training.model_file import save_model
from boltzgen.workflows.command import sample_command
from boltzgen.workflows.config import SampleConfig, config_toml, read_config

SESSION_KIND = "boltzgen session 1"
BYTES_PER_MEGABYTE = 1_000_000
PAGE_BYTES = 5 * BYTES_PER_MEGABYTE  # report, conformers and what else does not grow with the samples


@contextmanager
def held_folder(
    out: str | Path | None,
    config: SampleConfig,
    resume: bool,
    watch: Stopwatch,
    given: Molecule | MolecularSystem | None = None,
) -> Iterator[RunFolder | None]:
    """The folder ``out`` of the run of ``config``, in which no other run writes; None where there is none.

    A free folder, or with ``resume`` one that the same run began. What a killed writer left half written is
    removed. ``given``: the molecule or system of a program that ``config`` has no name for.

    Raises InputError where the folder holds another run or another process writes there.
    """
    if out is None:
        yield None
        return
    with FolderLock(Path(out)) as lock:
        _require_own(Path(out), config, resume, given)
        remove_partials(Path(out))
        yield RunFolder(Path(out), config, lock, watch, given)


def is_finished(folder: Path) -> bool:
    """Whether ``folder`` holds a whole run."""
    return (folder / SUMMARY).exists()


def can_go_on(folder: Path) -> bool:
    """Whether ``folder`` holds a run that was cut short, and something that it can go on from."""
    return (folder / CONFIG).exists() and any((folder / name).exists() for name in UNFINISHED_FILES)


class RunFolder:
    """The files of one run, which holds the lock of ``path``. ``watch`` is told what could not be written.

    ``given``: the molecule or system of a program, which goes into the folder with the configuration.
    """

    def __init__(
        self,
        path: Path,
        config: SampleConfig,
        lock: FolderLock,
        watch: Stopwatch,
        given: Molecule | MolecularSystem | None = None,
    ) -> None:
        self.path, self.config, self.lock, self.watch, self.given = path, config, lock, watch, given

    @property
    def is_finished(self) -> bool:
        return is_finished(self.path)

    def completed(self) -> Ensemble:
        """The ensemble of the finished run; what is made from it and is missing, like the report, is made.

        Raises InputError where files are damaged.
        """
        ensemble = Ensemble.load(self.path)
        write_missing(self.path, ensemble.files())
        if not (self.path / REPORT).exists():
            _write_report(self.path, ensemble, self.config)
        self._clear()
        return ensemble

    def begin(self) -> None:
        """Write what the run is, so that no other one takes the folder for its own.

        Raises InputError where that cannot be written.
        """
        try:
            self._write_config(self.path)
        except OSError as error:
            raise InputError(
                f"{self.path} cannot be written to ({error.strerror}); choose another folder."
            ) from error

    def _write_config(self, folder: Path) -> None:
        config = self.config
        if self.given is not None:
            write_stored(self.given, folder / INPUT)
            config = config.model_copy(update={"molecule": INPUT})
        write_whole(folder / CONFIG, lambda path: path.write_text(config_toml(config)))

    def keep_problem(self, problem: Problem, generator: torch.Generator) -> None:
        """Keep what was prepared, with the random numbers and the time as they are.

        Sizes and budgets are decided by how fast the machine is at the time: a later session takes them up.
        """
        session = {
            "generator": generator.get_state(),
            "torch": torch.get_rng_state(),
            "watch": self.watch.state_dict(),
        }
        try:
            problem.save(self.path / PROBLEM)
            save_tensors(self.path / SESSION, session, SESSION_KIND)
        except OSError as error:
            self.watch.warn(f"what was prepared could not be kept in {self.path} ({error.strerror})")

    def kept_problem(self, generator: torch.Generator) -> Problem | None:
        """What an earlier session prepared, random numbers and time set back to it; None where there is none.

        Damaged files are told of and count as none.
        """
        if not (self.path / SESSION).exists():
            return None
        try:
            session = load_tensors(self.path / SESSION, SESSION_KIND)
            problem = Problem.load(self.path / PROBLEM, generator.device)
        except InputError as error:
            self.watch.warn(f"the molecule is prepared again: {error}")
            return None
        generator.set_state(session["generator"])
        torch.set_rng_state(session["torch"])
        self.watch.load_state_dict(session["watch"])
        return problem

    def checkpoints(self, model: Model, problem: Problem, generator: torch.Generator) -> Checkpoints:
        """Where the training of ``model`` is kept."""
        return Checkpoints(
            self.path / CHECKPOINT,
            generator,
            fingerprint(model, problem.frames.thermal.positions),
            self.watch.warn,
            {"watch": self.watch, "evaluations": problem.target.counter},
            self.lock.require_held,
        )

    def write_results(self, ensemble: Ensemble, model: Model) -> None:
        """Write model, ensemble and report; where the disk is full, to another one that has room.

        Raises UnsavedResultsError, which has the ensemble, where there is none.
        """
        self.lock.require_held()
        try:
            self._write_all(self.path, ensemble, model)
        except OSError as error:
            for name in (*ENSEMBLE_FILES, MODEL):
                with suppress(OSError):
                    (self.path / name).unlink(missing_ok=True)
            self._write_elsewhere(ensemble, model, error.strerror)
        else:
            self._clear()

    def _write_all(self, folder: Path, ensemble: Ensemble, model: Model) -> None:
        save_model(model, folder / MODEL, self.config.model)
        ensemble.save(folder)
        _write_report(folder, ensemble, self.config)

    def _write_elsewhere(self, ensemble: Ensemble, model: Model, reason: str | None) -> None:
        needed = room_needed(ensemble, model)
        for place in other_places(self.path, needed):
            try:
                folder = Path(tempfile.mkdtemp(prefix=f"boltzgen-{self.path.resolve().name}-", dir=place))
                self._write_config(folder)
                self._write_all(folder, ensemble, model)
            except OSError:
                continue
            self.watch.warn(f"{self.path} cannot be written to ({reason}): the results are in {folder}")
            return
        raise UnsavedResultsError(
            f"{self.path} cannot be written to ({reason}), and no other disk has the"
            f" {needed / BYTES_PER_MEGABYTE:.0f} MB that the results need: make room and go on with --resume",
            ensemble,
        )

    def _clear(self) -> None:
        """What is only for going on is removed from a finished run."""
        for name in UNFINISHED_FILES:
            (self.path / name).unlink(missing_ok=True)


def room_needed(ensemble: Ensemble, model: Model) -> int:
    """Bytes of the files of a run, at most: arrays and trajectory hold the positions once each."""
    arrays = 2 * ensemble.positions.nbytes + 3 * ensemble.log_weights.nbytes
    parameters = sum(value.numel() * value.element_size() for value in model.state_dict().values())
    return arrays + parameters + PAGE_BYTES


def other_places(folder: Path, needed: int) -> Iterator[Path]:
    """Folders on other disks than that of ``folder`` with ``needed`` bytes of room."""
    disks = {folder.stat().st_dev}
    for place in (Path.cwd(), Path.home(), Path(tempfile.gettempdir())):
        try:
            disk = place.stat().st_dev
            roomy = os.access(place, os.W_OK | os.X_OK) and shutil.disk_usage(place).free >= needed
        except OSError:
            continue
        if disk not in disks and roomy:
            yield place
        disks.add(disk)


def _require_own(
    folder: Path, config: SampleConfig, resume: bool, given: Molecule | MolecularSystem | None
) -> None:
    """Raises InputError where ``folder`` is neither free nor, with ``resume``, that of this run.

    Files of an ensemble that were written without the summary, which comes last, are removed: they will be
    written again.
    """
    if not resume or not (folder / CONFIG).exists():
        require_free_folder(folder)
        return
    began = read_config(folder / CONFIG)
    for name in SampleConfig.model_fields:
        theirs, ours = getattr(began, name), getattr(config, name)
        if theirs != ours:
            raise InputError(
                f"{folder} holds a run with other settings ('{name}' is {theirs!r} there, {ours!r} here):"
                " give the same settings, or another folder."
            )
    if given is not None and stored_text(given) != read_text(folder / INPUT, MOST_MEGABYTES):
        raise InputError(
            f"{folder} holds a run of another molecule or system ({INPUT}): give the same, or another folder."
        )
    if not is_finished(folder):
        for name in ENSEMBLE_FILES:
            (folder / name).unlink(missing_ok=True)


def _write_report(folder: Path, ensemble: Ensemble, config: SampleConfig) -> None:
    """The page that shows ``ensemble``, the run of ``config``."""
    page = report_page(ensemble, sample_command(config))
    write_whole(folder / REPORT, lambda path: path.write_text(page, encoding="utf-8"))
