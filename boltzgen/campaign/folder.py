"""What a campaign keeps on disk.

``campaign.toml`` has the settings, ``molecules.jsonl`` the list, ``molecules/NAME/`` the runs. ``state/`` is
what workers share: ``state/claims/NAME`` says who works on a molecule, ``state/attempts/NAME`` what was
tried, and ``state/outcomes/NAME`` how it ended, which is written once. ``logs/`` has what runs print.
"""

from __future__ import annotations

import hashlib
import os
import time
import tomllib
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Literal

import tomli_w
from pydantic import BaseModel, ConfigDict, PositiveFloat, ValidationError

from boltzgen.errors import InputError
from boltzgen.files.lock import LOCK, FolderInUseError, FolderLock, Lease
from boltzgen.files.whole import write_whole
from boltzgen.records.campaign import Attempt, Entry, Outcome
from boltzgen.settings import validated
from boltzgen.workflows.config import SampleConfig

SETTINGS, LIST = "campaign.toml", "molecules.jsonl"
MOLECULES, STATE, LOGS = "molecules", "state", "logs"
CLAIMS, ATTEMPTS, OUTCOMES = f"{STATE}/claims", f"{STATE}/attempts", f"{STATE}/outcomes"
SOURCE = f"{STATE}/list.sha256"  # of the file that the list was read from
WAIT = 0.2  # seconds between two tries to begin a campaign that another process begins


class CampaignConfig(BaseModel):
    """Settings of a campaign.

    ``sample``: those of every molecule; its ``molecule`` is "". ``stereo``: whether molecules with open
    stereo are refused or all their stereoisomers sampled. ``time_limit``: seconds after which a molecule is
    given up, by default twice its budget and a minute. ``memory_gigabytes``: most memory of a molecule's
    process.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    sample: SampleConfig
    stereo: Literal["refuse", "enumerate"] = "refuse"
    time_limit: PositiveFloat | None = None
    memory_gigabytes: PositiveFloat | None = None


class CampaignFolder:
    """The folder ``path`` of a campaign. Raises InputError where there is none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not (path / SETTINGS).is_file():
            raise InputError(
                f"{path} holds no campaign: begin one with 'boltzgen campaign FILE.smi -o {path}'."
            )

    @cached_property
    def config(self) -> CampaignConfig:
        """The settings."""
        try:
            return validated(CampaignConfig, **tomllib.loads((self.path / SETTINGS).read_text("utf-8")))
        except (OSError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{self.path / SETTINGS} cannot be read: {error}.") from error

    @cached_property
    def entries(self) -> dict[str, Entry]:
        """All molecules by name, in the order of the list."""
        return {entry.name: entry for entry in _read_list(self.path / LIST)}

    @cached_property
    def to_sample(self) -> list[str]:
        """Names of the molecules that are sampled."""
        return [name for name, entry in self.entries.items() if entry.is_sampled]

    def run_folder(self, name: str) -> Path:
        """The folder of the run of a molecule."""
        return self.path / MOLECULES / name

    def log(self, name: str) -> Path:
        """What the run of a molecule prints."""
        return self.path / LOGS / f"{name}.txt"

    def claim(self, name: str) -> Lease:
        """The right to work on a molecule, not yet acquired."""
        return Lease(self.path / CLAIMS / name)

    def claimed(self) -> set[str]:
        """Names of the molecules that somebody works on."""
        return _names(self.path / CLAIMS)

    def ended(self) -> set[str]:
        """Names of the molecules that have an outcome."""
        return _names(self.path / OUTCOMES)

    def has_ended(self, name: str) -> bool:
        """Whether a molecule has an outcome."""
        return (self.path / OUTCOMES / name).exists()

    def outcome(self, name: str) -> Outcome:
        """How a molecule ended. Raises InputError where that cannot be read."""
        return _read(Outcome, self.path / OUTCOMES / name)

    def end(self, outcome: Outcome) -> bool:
        """Write ``outcome``; False, and nothing is changed, where the molecule has one already."""
        path = self.path / OUTCOMES / outcome.name
        partial = path.with_name(f".{outcome.name}-{os.getpid()}")
        try:
            partial.write_text(outcome.to_json(), encoding="utf-8")
            os.link(partial, path)  # atomic, and refused where the name is taken
        except FileExistsError:
            return False
        finally:
            partial.unlink(missing_ok=True)
        return True

    def forget(self, name: str) -> None:
        """Let a molecule that ended be tried again, as if nothing had been tried."""
        for folder in (OUTCOMES, ATTEMPTS):
            (self.path / folder / name).unlink(missing_ok=True)

    def attempts(self, name: str) -> list[Attempt]:
        """What was tried with a molecule."""
        with suppress(FileNotFoundError):
            lines = (self.path / ATTEMPTS / name).read_text(encoding="utf-8").splitlines()
            return [Attempt.model_validate_json(line) for line in lines]
        return []

    def keep_attempts(self, name: str, attempts: Sequence[Attempt]) -> None:
        """Write what was tried with a molecule, for which this process has the claim.

        The disk is not waited for, as a power failure may cost an attempt in the count.
        """
        path = self.path / ATTEMPTS / name
        partial = path.with_name(f".{name}-{os.getpid()}")
        partial.write_text("".join(f"{attempt.model_dump_json()}\n" for attempt in attempts), "utf-8")
        partial.replace(path)


def begin(
    path: Path, config: CampaignConfig, source: Path, read: Callable[[Path], Sequence[Entry]]
) -> CampaignFolder:
    """The campaign in ``path``: a new one, or the one that is there, with what is new in ``source`` added.

    Several processes may do this at once: one of them reads the list, and the others wait for it. A list that
    was read before is not read again.

    Raises
    ------
    InputError
        Where the folder holds a campaign with other settings, or other molecules of the same names.
    """
    while True:
        try:
            with FolderLock(path):
                if (path / SETTINGS).exists():
                    _require_same(path, config)
                checksum = _checksum(source)
                if not (path / SOURCE).exists() or (path / SOURCE).read_text() != checksum:
                    _write_list(path, config, read(source))
                    (path / SOURCE).write_text(checksum)
                return CampaignFolder(path)
        except FolderInUseError:
            time.sleep(WAIT)


def _write_list(path: Path, config: CampaignConfig, entries: Sequence[Entry]) -> None:
    for folder in (CLAIMS, ATTEMPTS, OUTCOMES, MOLECULES, LOGS):
        (path / folder).mkdir(parents=True, exist_ok=True)
    known = {entry.name: entry for entry in _read_list(path / LIST)} if (path / LIST).exists() else {}
    for entry in entries:
        there = known.setdefault(entry.name, entry)
        if (there.smiles, there.same_as) != (entry.smiles, entry.same_as):
            raise InputError(
                f"{path} holds another molecule of the name '{entry.name}' ({there.smiles}; line {entry.line}"
                f" has {entry.smiles}): add new molecules at the end of the list, or give another folder."
            )
    text = "".join(f"{entry.model_dump_json()}\n" for entry in known.values())
    write_whole(path / LIST, lambda partial: partial.write_text(text, encoding="utf-8"))
    settings = tomli_w.dumps(config.model_dump(mode="json", exclude_none=True))
    if not (path / SETTINGS).exists():  # after the list: it says that there is a campaign
        write_whole(path / SETTINGS, lambda partial: partial.write_text(settings, encoding="utf-8"))


def _checksum(source: Path) -> str:
    try:
        with source.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"'{source}' cannot be read ({error.strerror}).") from error


def _require_same(path: Path, config: CampaignConfig) -> None:
    began = CampaignFolder(path).config
    pairs = [(name, getattr(began, name), getattr(config, name)) for name in CampaignConfig.model_fields]
    pairs += [(n, getattr(began.sample, n), getattr(config.sample, n)) for n in SampleConfig.model_fields]
    for name, theirs, ours in pairs:
        if name != "sample" and theirs != ours:
            raise InputError(
                f"{path} holds a campaign with other settings ('{name}' is {theirs!r} there, {ours!r} here):"
                " give the same settings, or another folder."
            )


def _read_list(path: Path) -> list[Entry]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        return [Entry.model_validate_json(line) for line in lines]
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}.") from error


def _read(schema: type[Outcome], path: Path) -> Outcome:
    try:
        return schema.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        raise InputError(f"{path} cannot be read: {error}.") from error


def _names(folder: Path) -> set[str]:
    """Names of files, without those of half-written ones and probes."""
    with os.scandir(folder) as files:
        return {file.name for file in files if not file.name.startswith((".", LOCK))}
