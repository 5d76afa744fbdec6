"""What workers of tests do with a molecule, instead of sampling it: told by the name of its run's folder."""

import os
import signal
import time
from pathlib import Path

from boltzgen.campaign.folder import CampaignConfig, CampaignFolder, begin
from boltzgen.campaign.molecule import Ending
from boltzgen.files.lock import FolderLock
from boltzgen.records.campaign import Entry
from boltzgen.workflows.config import SampleConfig

SAMPLE = SampleConfig(molecule="", budget_seconds=10.0)


def campaign(path: Path, names, **settings) -> CampaignFolder:
    """A campaign of molecules of these names, of which none is ever looked at."""
    source = path.with_suffix(".smi")
    source.write_text("\n".join(names))
    entries = [
        Entry(name=name, smiles="C", line=k, canonical=name, n_atoms=5) for k, name in enumerate(names)
    ]
    settings = {"sample": SAMPLE} | settings
    return begin(path, CampaignConfig(**settings), source, lambda _: entries)


def noted(config, run: Path) -> Ending:
    """Leaves a line for each time that it was done."""
    with run.with_suffix(".done").open("a") as stream:
        stream.write(f"{os.getpid()}\n")
    return Ending("converged")


def misbehaves(config, run: Path) -> Ending:
    """Does what the folder's name says, every time; "once" only in the first attempt, which is larger."""
    noted(config, run)
    what, _, once = run.name.partition("-")
    if once and config.n_samples < SAMPLE.n_samples:
        return Ending("converged")
    if what == "abort":
        os.abort()
    if what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "exit":
        os._exit(7)
    if what == "hang":
        time.sleep(1000.0)
    if what == "memory":
        bytearray(10**12)
    if what == "refuse":
        return Ending("refused", "it cannot be used")
    if what == "fail":
        return Ending("failed", "it went wrong")
    return Ending("converged")


def slow(config, run: Path) -> Ending:
    """Holds the folder of its run for long, and says that it does."""
    with FolderLock(run):
        run.with_suffix(".begun").touch()
        time.sleep(100.0)
    return Ending("converged")


def allocates(folder: Path, gigabytes: float) -> Ending:
    """Needs memory beside that of the program itself."""
    bytearray(int(gigabytes * 1e9))
    return Ending("converged")
