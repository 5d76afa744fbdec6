"""One molecule of a campaign: its run, and how it ended in a state and a sentence."""

from __future__ import annotations

import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console

from boltzgen.ensemble_folder import RUN_FILES
from boltzgen.errors import EvaluationError, InputError, NotConvergedError
from boltzgen.files.lock import FolderInUseError
from boltzgen.memory import is_shortage
from boltzgen.report.terminal import ProgressLine
from boltzgen.workflows.config import SampleConfig, default_budget
from boltzgen.workflows.sample import run_sample

SMALLER = 4  # the factor by which a second try is smaller
LEAST_SAMPLES, LEAST_BATCH = 100, 32
HANG, START = 2.0, 60.0  # a molecule is given up after HANG times its budget and START seconds

Kind = Literal["converged", "not-converged", "refused", "failed", "killed", "busy", "interrupted"]


@dataclass(frozen=True)
class Ending:
    """How a process that worked on a molecule ended; a sentence where it did not go well.

    "killed": from outside. "busy": another process writes in the folder. "interrupted": asked to stop, after
    a checkpoint.
    """

    kind: Kind
    sentence: str = ""


def sample_molecule(config: SampleConfig, folder: Path) -> Ending:
    """The run of ``config`` in ``folder``, or what is left of it, and how it ended."""
    line = ProgressLine(Console(), time.monotonic())
    try:
        facts = run_sample(config, folder, line.show, resume=True).summary()
    except FolderInUseError as error:
        return Ending("busy", str(error))
    except InputError as error:
        return Ending("refused", str(error))
    except NotConvergedError as error:
        return Ending("not-converged", str(error))
    except EvaluationError as error:
        return Ending("failed", str(error))
    except Exception as error:  # a fault of the program in one molecule is told in the table, as others go on
        traceback.print_exc()
        if is_shortage(error):
            return Ending("failed", "there was too little memory")
        return Ending("failed", f"{type(error).__name__}: {error}")
    if facts["converged"]:
        return Ending("converged")
    return Ending("not-converged", "; ".join(facts["warnings"]))


def smaller(config: SampleConfig) -> SampleConfig:
    """``config`` with a quarter of the samples and of the batch, in one process."""
    training = config.training.model_copy(
        update={"batch_size": max(LEAST_BATCH, config.training.batch_size // SMALLER), "processes": 1}
    )
    wanted = config.effective_samples
    return config.model_copy(
        update={
            "n_samples": min(config.n_samples, max(LEAST_SAMPLES, config.n_samples // SMALLER)),
            "effective_samples": None if wanted is None else max(1, wanted // SMALLER),
            "training": training,
        }
    )


def clear(folder: Path) -> None:
    """Remove the files of a run that is not to be gone on with."""
    for name in RUN_FILES:
        (folder / name).unlink(missing_ok=True)


def time_limit(config: SampleConfig, n_atoms: int, asked: float | None) -> float | None:
    """Seconds after which a molecule is given up: as ``asked``, or twice its budget and a minute to start in.

    None for a run of a fixed number of steps, whose time nobody knows.
    """
    if asked is not None:
        return asked
    if config.training.max_steps is not None:
        return None
    return HANG * (config.budget_seconds or default_budget(n_atoms)) + START
