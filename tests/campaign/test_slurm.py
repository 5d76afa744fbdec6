"""A campaign by jobs of a real Slurm, of this machine alone, with what happens to jobs on clusters."""

import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from boltzgen.campaign.folder import CampaignFolder
from boltzgen.campaign.slurm import job_name
from boltzgen.files.lock import LOCK
from boltzgen.files.names import CHECKPOINT

ROOT = Path(__file__).parents[2]
DAEMONS = ("slurmctld", "slurmd", "munged")
MISSING = [name for name in DAEMONS if shutil.which(name) is None]
pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(bool(MISSING) or os.getuid() != 0, reason="needs root, slurm-wlm and munge"),
]

GOOD = {
    f"m{k}": smiles for k, smiles in enumerate(["CCO", "CO", "CC", "CN", "CS", "CF", "CCl", "C=O", "CC=O"])
}
GOOD |= {"long": "OCCO"}
BAD = {"broken": "C1CC", "open": "CC(F)Cl"}
SMALL = "--steps 150 -n 200 --set answer=model --set frames.ladders=8 --set frames.walkers=32"
SMALL += " --set frames.picoseconds=2 --set frames.local_picoseconds=2 --set training.batch_size=64"


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """Runs a command of Slurm, or any other that uses it; what it prints."""
    folder = tmp_path_factory.mktemp("slurm")
    script = str(ROOT / "scripts" / "slurm" / "single-node")
    configuration = subprocess.run(
        [script, "start", str(folder)],
        env=os.environ | {"PORT": str(free_port())},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
    ).stdout.strip()
    environment = os.environ | {
        "SLURM_CONF": configuration,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
    }

    def run(*command):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, f"{command}: {done.stdout} {done.stderr}"
        return done.stdout + done.stderr

    try:
        until(lambda: "idle" in run("sinfo", "--noheader"), 60.0)
        yield run
        run("scancel", "--user=root")
        until(lambda: not run("squeue", "--noheader"), 60.0)
    finally:
        subprocess.run([script, "stop", str(folder)], check=True, timeout=60)


def free_port() -> int:
    """A port that is free, as the next one is."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("", 0))
            port = first.getsockname()[1]
            with suppress(OSError, OverflowError):
                second.bind(("", port + 1))
                return port


def until(condition, seconds=180.0):
    ended = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < ended, "waited in vain"
        time.sleep(0.2)
    return found


def job_of(folder: CampaignFolder, name: str) -> str:
    """The job whose worker is at a molecule; "" where none is."""
    try:
        pid = json.loads(folder.claim(name).path.read_text())["pid"]
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return ""
    given = dict(variable.decode().split("=", 1) for variable in variables if variable.startswith(b"SLURM_"))
    return job_name(given) if given else ""


def test_a_campaign_survives_what_happens_to_jobs(tmp_path, slurm):
    """A job gets SIGTERM, a process SIGKILL, the node is drained meanwhile: all molecules end, each once."""
    molecules = GOOD | BAD
    source = tmp_path / "list.smi"
    source.write_text("".join(f"{smiles} {name}\n" for name, smiles in molecules.items()))
    runs = tmp_path / "runs"
    command = [sys.executable, "-m", "boltzgen", "campaign", str(source), "-o", str(runs), *SMALL.split()]
    command += ["--executor", "slurm", "--jobs", "2", "--workers", "1", "--time", "30m"]
    assert "Slurm has 2 jobs" in slurm(*command)
    folder = CampaignFolder(runs)

    def training():
        """Molecules that are trained just now."""
        under_way = folder.claimed() - folder.ended()
        return [name for name in under_way if "training" in _text(folder.log(name)) and job_of(folder, name)]

    stopped = until(training)[0]
    node = f"nodename={slurm('hostname', '-s').strip()}"
    slurm("scontrol", "update", node, "state=drain", "reason=test")
    job = job_of(folder, stopped)
    slurm("scancel", "--signal=TERM", job)
    until(lambda: "PENDING" in slurm("squeue", "--noheader", "--format=%T", f"--jobs={job}"))
    attempts = [attempt.ended for attempt in folder.attempts(stopped)]
    if attempts != ["done"]:
        assert attempts == ["interrupted"]
        assert (folder.run_folder(stopped) / CHECKPOINT).exists()
    killed = until(training)[0]
    os.kill(json.loads((folder.run_folder(killed) / LOCK).read_text())["pid"], signal.SIGKILL)
    slurm("scontrol", "update", node, "state=resume")
    slurm("scontrol", "update", f"jobid={job}", "starttime=now")  # Slurm waits two minutes otherwise
    until(lambda: folder.ended() == set(GOOD))
    until(lambda: not slurm("squeue", "--noheader"))

    outcomes = {name: folder.outcome(name) for name in GOOD}
    assert {outcome.state for outcome in outcomes.values()} <= {"converged", "not-converged"}
    said = _text(runs / "logs" / "workers.log")
    assert all(said.count(f"{name}: {outcome.state} in") == 1 for name, outcome in outcomes.items())
    assert folder.attempts(killed)[0].ended == "killed"
    slurm(sys.executable, "-m", "boltzgen", "collect", str(runs))
    with (runs / "campaign.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["name"] for row in rows] == list(molecules)
    assert Counter(row["state"] == "refused" for row in rows) == {True: 2, False: 10}
    assert "Nothing is left to do" in slurm(*command)
    # the script for campaigns is taken as well
    assert "to start at" in slurm(
        "sbatch", "--test-only", str(ROOT / "scripts" / "slurm" / "campaign.sbatch")
    )
    assert not slurm("squeue", "--noheader")


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""
