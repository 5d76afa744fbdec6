"""Workers on several machines: an array of Slurm jobs, submitted by submitit, each of which starts workers.

Slurm's notice before the end of a job (USR2, as submitit asks for it) lets the workers put their molecules
aside; the job is then queued again. So is one whose workers got SIGTERM, as long as it was not cancelled.
Jobs of the array need not know of each other: those that start late find less to do, and those that find
nothing end at once.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from boltzgen.campaign.folder import CampaignFolder
from boltzgen.campaign.local import LocalWorkers
from boltzgen.errors import EvaluationError, InputError

JOBS = "slurm"  # the folder of what submitit and the jobs write
MOST_JOBS = 16  # unless more are asked for
SECONDS = 4 * 3600.0  # of a job
NOTICE_SECONDS = 120  # before the end of a job
MOST_REQUEUES = 1000


@dataclass(frozen=True)
class SlurmOptions:
    """What jobs are to be like.

    jobs: of the array. gpus: of each job. seconds: of each job, after which it is queued again. others:
    options of sbatch by name; True for one without a value.
    """

    jobs: int | None = None
    array_parallelism: int | None = None
    partition: str | None = None
    gpus: int | None = None
    seconds: float | None = None
    others: Mapping[str, Any] = field(default_factory=dict)


class Job:
    """What a job does, as submitit stores it."""

    def __init__(self, folder: Path, workers: int | None, per_gpu: int) -> None:
        self.folder, self.n, self.per_gpu = folder, workers, per_gpu
        self.workers: LocalWorkers | None = None

    def __call__(self) -> int:
        """Start workers and wait for them. Raises EvaluationError where one failed."""
        self.workers = LocalWorkers(self.folder, self.n, self.per_gpu)
        code = self.workers.run()
        if self.workers.were_stopped and _is_wanted():
            import submitit

            # what submitit does at its own notice: the job is queued again
            signal.raise_signal(getattr(signal, f"SIG{submitit.JobEnvironment.USR_SIG}"))
        if code:
            raise EvaluationError(f"a worker ended with exit code {code}")
        return self.workers.n

    def checkpoint(self) -> Any:
        """What submitit calls at the notice: the same job, to be queued again, after the workers stopped."""
        import submitit

        if self.workers is not None:
            self.workers.stop()
        return submitit.helpers.DelayedSubmission(Job(self.folder, self.n, self.per_gpu))


def _is_wanted() -> bool:
    """Whether this job still runs for Slurm: one that was cancelled is not to be queued again."""
    command = ["squeue", "--noheader", "--format=%T", f"--jobs={job_name(os.environ)}"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip() == "RUNNING"


def job_name(environment: Mapping[str, str]) -> str:
    """What Slurm calls the job of ``environment`` alone: the number of one task is that of its whole array.

    >>> job_name({"SLURM_JOB_ID": "7", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "1"})
    '7_1'
    >>> job_name({"SLURM_JOB_ID": "7"})
    '7'
    """
    if "SLURM_ARRAY_TASK_ID" in environment:
        return f"{environment['SLURM_ARRAY_JOB_ID']}_{environment['SLURM_ARRAY_TASK_ID']}"
    return environment["SLURM_JOB_ID"]


def submit(folder: CampaignFolder, options: SlurmOptions, workers: int | None, per_gpu: int) -> str:
    """Queue an array of jobs; what was queued, in a sentence.

    Raises
    ------
    InputError
        Where submitit or Slurm is not there, or Slurm refuses the options.
    """
    left = len(folder.to_sample) - len(folder.ended())
    if not left:
        return "Nothing is left to do."
    try:
        import submitit
    except ImportError as error:
        raise InputError(
            "--executor slurm needs submitit: pip install 'boltzgen-conformers[cluster]'."
        ) from error
    path = folder.path.resolve()
    try:
        executor = submitit.SlurmExecutor(path / JOBS, max_num_timeout=MOST_REQUEUES)
        executor.update_parameters(**parameters(options, workers, per_gpu))
        job = Job(path, workers, per_gpu)
        jobs = executor.submit_array([job] * min(options.jobs or MOST_JOBS, left))
    except (RuntimeError, ValueError, TypeError, submitit.core.utils.FailedJobError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"Slurm does not take the jobs: {reason}") from error
    return (
        f"Slurm has {len(jobs)} jobs as {jobs[0].job_id.partition('_')[0]}; how far they are says"
        f" 'boltzgen campaign --status {folder.path}', and 'boltzgen collect {folder.path}' writes the table."
    )


def parameters(options: SlurmOptions, workers: int | None, per_gpu: int) -> dict[str, Any]:
    """The options as submitit has them.

    >>> parameters(SlurmOptions(gpus=2, seconds=5400.0, others={"account": "chem"}), None, 3)
    ... # doctest: +NORMALIZE_WHITESPACE
    {'job_name': 'boltzgen', 'time': 90, 'cpus_per_task': 6, 'signal_delay_s': 120, 'gpus_per_node': 2,
     'account': 'chem'}
    """
    from submitit.slurm.slurm import _get_default_parameters

    n = workers or max(1, per_gpu * (options.gpus or 0))
    found: dict[str, Any] = {
        "job_name": "boltzgen",
        "time": max(1, round((options.seconds or SECONDS) / 60.0)),
        "cpus_per_task": n,
        "signal_delay_s": NOTICE_SECONDS,
        "partition": options.partition,
        "gpus_per_node": options.gpus,
        "array_parallelism": options.array_parallelism,
    }
    found = {name: value for name, value in found.items() if value is not None}
    known = _get_default_parameters()
    more: dict[str, Any] = {}
    for name, value in options.others.items():
        own = name.strip("-").replace("-", "_")
        if own in known:
            found[own] = value
        else:
            more[name.strip("-")] = value
    return found | ({"additional_parameters": more} if more else {})
