"""Scripts for clusters: the commands in them exist, and a job is queued again after a notice alone."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import typer

from boltzgen.cli.application import app

SCRIPTS = Path(__file__).parents[2] / "scripts" / "slurm"
JOBS = ("campaign.sbatch", "train.sbatch", "multi_gpu.sbatch")
# Stands for the programs of Slurm and for boltzgen: notes how it is called.
STAND_IN = """#!/bin/sh
name=$(basename "$0")
echo "$name $@" >>calls
case $name in
srun) exec "$@" ;;
boltzgen) exit $CODE ;;
torchrun) [ "$CODE" = 75 ] && kill -USR1 "$BATCH" && sleep 1; exit 0 ;;
esac
"""


def require_parsed(arguments: list[str]) -> None:
    """Raises where the command line does not take ``arguments``; nothing is run."""
    group = typer.main.get_command(app)
    with group.make_context("boltzgen", list(arguments), resilient_parsing=False) as context:
        name, command, rest = group.resolve_command(context, list(arguments))
        command.make_context(name, rest, parent=context)


@pytest.mark.parametrize("job", [*JOBS, "single-node"])
def test_a_script_is_one_of_bash(job):
    subprocess.run(["bash", "-n", str(SCRIPTS / job)], check=True)


@pytest.mark.parametrize(("code", "again"), [(0, False), (1, False), (3, False), (75, True)])
@pytest.mark.parametrize("job", JOBS)
def test_a_job_is_queued_again_after_a_notice_alone(job, code, again, tmp_path):
    for name in ("srun", "boltzgen", "torchrun", "scontrol"):
        (tmp_path / name).write_text(STAND_IN)
        (tmp_path / name).chmod(0o755)
    given = ["list.smi", "runs", "--budget", "60s"] if job == "campaign.sbatch" else ["config.toml", "run"]
    environment = os.environ | {
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "CODE": str(code),
        "SLURM_JOB_ID": "17",
        "SLURM_GPUS": "4",
    }
    name_of_job = "17"
    if job == "campaign.sbatch":  # whose job's number is that of all its tasks
        environment |= {"SLURM_ARRAY_JOB_ID": "17", "SLURM_ARRAY_TASK_ID": "3"}
        name_of_job = "17_3"
    shell = f'export BATCH=$$; exec bash "{SCRIPTS / job}" "$@"'
    subprocess.run(["bash", "-c", shell, "job", *given], cwd=tmp_path, env=environment, timeout=60)
    calls = (tmp_path / "calls").read_text().splitlines()
    assert (f"scontrol requeue {name_of_job}" in calls) is again
    (called,) = [call for call in calls if call.startswith(("boltzgen", "torchrun"))]
    if job == "multi_gpu.sbatch":
        assert "--nproc-per-node 4 -m boltzgen train" in called
    require_parsed(re.split(r"\bboltzgen ", called, maxsplit=1)[1].split())


def test_commands_of_other_engines_are_parsed():
    text = (SCRIPTS / "Snakefile").read_text().replace("{input}", "molecules.smi")
    commands = re.findall(r'shell: "boltzgen (.+)"', text)
    assert len(commands) == 2
    for command in commands:
        require_parsed(command.split())


def test_a_command_that_does_not_exist_is_not_parsed():
    with pytest.raises(Exception, match="nonsense"):
        require_parsed(["campaign", "list.smi", "--nonsense"])
