"""``boltzgen campaign``: many molecules, by any number of workers."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from boltzgen.cli.exits import EXIT_FAULT, errors
from boltzgen.cli.options import Json, named_folder, parse_duration
from boltzgen.cli.sample import NO_SETTINGS, sample, sampling_config
from boltzgen.errors import InputError

if TYPE_CHECKING:
    from boltzgen.campaign.folder import CampaignFolder
    from boltzgen.campaign.slurm import SlurmOptions

GOES_ON = "Nothing is lost: the same command goes on where it was"


def campaign(
    file: Annotated[
        Path | None, typer.Argument(help="A SMILES and a name on each line; without it --out goes on.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", parser=named_folder, help="Folder of the campaign.")
    ] = None,
    stereo: Annotated[
        str, typer.Option(help="Molecules with open stereo: refuse them, or enumerate all stereoisomers.")
    ] = "refuse",
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Workers on this machine or in each job; by default one a GPU or core."),
    ] = None,
    workers_per_gpu: Annotated[int, typer.Option(min=1, help="Workers that share each GPU.")] = 1,
    worker: Annotated[
        bool, typer.Option("--worker", help="Be one worker, of those that work in --out at the same time.")
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try again what failed in an earlier session.")
    ] = False,
    time_limit: Annotated[
        str | None,
        typer.Option(help="Give a molecule up after this time; by default twice its budget and a minute."),
    ] = None,
    memory: Annotated[
        float | None, typer.Option(help="Most memory of a molecule, GB; by default a worker's share.")
    ] = None,
    status: Annotated[
        Path | None, typer.Option(metavar="RUNS", help="Say how far the campaign in RUNS has come.")
    ] = None,
    executor: Annotated[str, typer.Option(help="local, or slurm for an array of jobs.")] = "local",
    jobs: Annotated[int | None, typer.Option(min=1, help="Slurm: jobs of the array.")] = None,
    array_parallelism: Annotated[
        int | None, typer.Option(min=1, help="Slurm: jobs of the array that run at the same time.")
    ] = None,
    partition: Annotated[str | None, typer.Option(help="Slurm: partition.")] = None,
    gpus: Annotated[int | None, typer.Option(min=0, help="Slurm: GPUs of each job.")] = None,
    time: Annotated[str | None, typer.Option(help="Slurm: time of each job, like 4h.")] = None,
    sbatch: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Slurm: any other option of sbatch, like account=chem."),
    ] = None,
    as_json: Json = False,
    **sampling: Any,
) -> None:
    """Sample every molecule of a list, and go on where an earlier session stopped.

    Any number of workers may work in one folder at the same time. The options of 'sample' hold for each
    molecule.
    """
    from boltzgen.campaign.folder import CampaignFolder, begin

    if status is not None:
        _print_status(CampaignFolder(status), as_json)
        return
    if out is None:
        raise InputError("A campaign needs a folder: name it with --out.")
    slurm = _slurm_options(executor, worker, jobs, array_parallelism, partition, gpus, time, sbatch)
    settings = {"stereo": stereo, "time_limit": time_limit, "memory": memory}
    config = _config(settings, sampling)
    if file is not None:
        folder = begin(out, config, file, lambda path: _read(path, config.stereo))
    elif config != _config({"stereo": "refuse", "time_limit": None, "memory": None}, _defaults()):
        raise InputError(
            f"The settings of {out} are those that it began with: give them together with the list."
        )
    else:
        folder = CampaignFolder(out)
    if worker:
        _work(folder, workers or 1)
        return
    _tell(folder, retry_failed)
    if slurm is not None:
        from boltzgen.campaign.slurm import submit

        if slurm.gpus and folder.config.memory_gigabytes is not None and folder.config.sample.device != "cpu":
            raise InputError("--memory cannot be kept to on GPUs: leave it out, or give --device cpu.")
        errors.print(submit(folder, slurm, workers, workers_per_gpu), markup=False, soft_wrap=True)
        return
    _run_locally(folder, workers, workers_per_gpu)
    _print_status(folder, as_json)


def _defaults() -> dict[str, Any]:
    return {name: parameter.default for name, parameter in _SAMPLING.items()}


def _config(settings: dict[str, Any], sampling: dict[str, Any]) -> Any:
    from boltzgen.campaign.folder import CampaignConfig
    from boltzgen.settings import validated
    from boltzgen.workflows.config import require_sane

    sample_config = sampling_config({"molecule": "", **sampling})
    require_sane(sample_config)
    limit = settings["time_limit"]
    return validated(
        CampaignConfig,
        sample=sample_config,
        stereo=settings["stereo"],
        time_limit=None if limit is None else parse_duration(limit),
        memory_gigabytes=settings["memory"],
    )


def _slurm_options(
    executor: str,
    worker: bool,
    jobs: int | None,
    array_parallelism: int | None,
    partition: str | None,
    gpus: int | None,
    time: str | None,
    sbatch: list[str] | None,
) -> SlurmOptions | None:
    """What jobs are to be like; None where there are none. Raises InputError for options without jobs."""
    given = (jobs, array_parallelism, partition, gpus, time, sbatch)
    if executor not in ("local", "slurm"):
        raise InputError(f"There is no executor '{executor}'; give local or slurm.")
    if executor == "local" or worker:
        if any(value is not None for value in given) or (worker and executor == "slurm"):
            raise InputError("Options of Slurm's jobs go with --executor slurm, which starts workers itself.")
        return None
    from boltzgen.campaign.slurm import SlurmOptions
    from boltzgen.workflows.config import assignment

    return SlurmOptions(
        jobs=jobs,
        array_parallelism=array_parallelism,
        partition=partition,
        gpus=gpus,
        seconds=None if time is None else parse_duration(time),
        others=dict(assignment(text) for text in sbatch or ()),
    )


def _read(path: Path, stereo: Any) -> Any:
    from boltzgen.campaign.listing import read_list
    from boltzgen.cores import usable_cores

    errors.print(f"Reading {path} ...", markup=False, soft_wrap=True)
    return read_list(path, stereo, usable_cores())


def _tell(folder: CampaignFolder, retry_failed: bool) -> None:
    """What is to be done, what cannot be used, and how charges and tautomers are taken."""
    entries = list(folder.entries.values())
    refused = [entry for entry in entries if entry.problem]
    duplicates = [entry for entry in entries if entry.same_as]
    ended = folder.ended()
    if retry_failed:
        for name in sorted(ended):
            if folder.outcome(name).state == "failed":
                folder.forget(name)
        ended = folder.ended()
    lines = [
        f"{len(entries)} molecules: {len(folder.to_sample) - len(ended)} to sample, {len(ended)} done,"
        f" {len(refused)} refused, {len(duplicates)} the same as others. Charges and tautomers are as given."
    ]
    for entry in (refused + duplicates)[:5]:
        lines.append(f"  line {entry.line}: {entry.problem or f'the same molecule as {entry.same_as}'}")
    if len(refused) + len(duplicates) > 5:
        lines.append("  and more, which the table of 'boltzgen collect' lists.")
    errors.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)


def _work(folder: CampaignFolder, neighbours: int) -> None:
    from boltzgen.campaign.worker import Worker
    from boltzgen.interruption import InterruptedRunError, ignore_repeated_signals

    ignore_repeated_signals()
    try:
        Worker(folder, lambda line: print(line, flush=True), neighbours=neighbours).run()
    except InterruptedRunError as stopped:
        stopped.add_note("What was under way goes on from its checkpoint with the next worker")
        raise


def _run_locally(folder: CampaignFolder, workers: int | None, per_gpu: int) -> None:
    from boltzgen.campaign.child import memory_limit
    from boltzgen.campaign.folder import LOGS
    from boltzgen.campaign.local import WORKERS_LOG, LocalWorkers
    from boltzgen.campaign.status import Watcher
    from boltzgen.interruption import InterruptedRunError
    from boltzgen.report.campaign import CampaignTable

    settings = folder.config
    memory_limit(settings.memory_gigabytes, workers or 1, settings.sample.device)  # refused here, if it is
    watcher = Watcher(folder)
    try:
        if watcher.look().is_finished:
            return
        with CampaignTable(Console(stderr=True)) as table:
            code = LocalWorkers(folder.path, workers, per_gpu).run(lambda: table.show(watcher.look()))
    except InterruptedRunError as stopped:
        stopped.add_note(GOES_ON)
        raise
    if code:
        said = (
            f"A worker ended with exit code {code}; {folder.path / LOGS / WORKERS_LOG} says why. {GOES_ON}."
        )
        errors.print(said, markup=False, soft_wrap=True)
        raise typer.Exit(EXIT_FAULT)


def _print_status(folder: CampaignFolder, as_json: bool) -> None:
    from boltzgen.campaign.status import Watcher
    from boltzgen.report.campaign import print_status

    found = Watcher(folder).look()
    if as_json:
        typer.echo(found.to_json(), nl=False)
    else:
        print_status(Console(), found)


# Every option of 'sample' is one of 'campaign' as well.
_OWN = inspect.signature(campaign, eval_str=True)
_SAMPLING = {
    name: parameter
    for name, parameter in inspect.signature(sample, eval_str=True).parameters.items()
    if name not in (*NO_SETTINGS, "molecule")
}
_parameters = [p for p in _OWN.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
_parameters += _SAMPLING.values()
vars(campaign)["__signature__"] = _OWN.replace(parameters=_parameters)
campaign.__annotations__ = {parameter.name: parameter.annotation for parameter in _parameters}
