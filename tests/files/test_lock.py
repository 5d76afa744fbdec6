"""One writer in a folder: living holders are respected, dead and silent ones are not."""

import json
import os
import subprocess
import sys
import time

import pytest

from boltzgen.errors import EvaluationError, InputError
from boltzgen.files import lock
from boltzgen.files.lock import FolderLock

HOLD = """
import sys, time
from pathlib import Path
from boltzgen.files.lock import FolderLock
with FolderLock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""
RACE = """
import sys, time
from pathlib import Path
from boltzgen.errors import InputError
from boltzgen.files.lock import FolderLock
sys.stdin.readline()
try:
    with FolderLock(Path(sys.argv[1])):
        print("won", flush=True)
        sys.stdin.readline()
except InputError:
    print("refused", flush=True)
"""


def python(code, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_held_folder_is_refused_and_a_released_one_is_not(tmp_path):
    refused = pytest.raises(InputError, match=rf"in use by another run \(process {os.getpid()} on ")
    with FolderLock(tmp_path / "run"), refused:
        FolderLock(tmp_path / "run").__enter__()
    with FolderLock(tmp_path / "run"):
        pass
    assert list((tmp_path / "run").iterdir()) == []


def test_a_killed_holder_leaves_a_lock_that_is_taken_over(tmp_path):
    with python(HOLD, tmp_path) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(InputError, match=f"process {holder.pid}"):
            FolderLock(tmp_path).__enter__()
        holder.kill()
    assert (tmp_path / ".lock").exists()
    with FolderLock(tmp_path):
        pass


def test_a_process_that_has_the_number_of_a_dead_holder_does_not_hold(tmp_path):
    with FolderLock(tmp_path) as held:
        content = json.loads(held.lease.path.read_text())
    (tmp_path / ".lock").write_text(json.dumps(content | {"started": "1"}))
    with FolderLock(tmp_path):
        pass


@pytest.mark.parametrize("content", ["", '{"machine": "elsewhere", "pid": 1, "host": "elsewhere"}'])
def test_a_holder_elsewhere_is_respected_while_it_renews(tmp_path, content):
    (tmp_path / ".lock").write_text(content)
    with pytest.raises(InputError, match="in use"):
        FolderLock(tmp_path).__enter__()
    silent = time.time() - lock.LEASE - 1.0
    os.utime(tmp_path / ".lock", (silent, silent))
    with FolderLock(tmp_path):
        pass


def test_the_holder_renews_and_notices_that_it_was_robbed(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "BEAT", 0.01)
    with FolderLock(tmp_path) as held:
        os.utime(held.lease.path, (0.0, 0.0))
        ended = time.monotonic() + 10.0
        while held.lease.path.stat().st_mtime == 0.0 and time.monotonic() < ended:
            time.sleep(0.01)
        assert held.lease.path.stat().st_mtime > 0.0
        held.require_held()
        held.lease.path.write_text('{"token": "another"}')
        while not held.lease.lost and time.monotonic() < ended:
            time.sleep(0.01)
        with pytest.raises(EvaluationError, match=r"took .* over"):
            held.require_held()
    assert held.lease.path.exists()  # it is the other's


@pytest.mark.parametrize("stale", [False, True])
def test_of_several_at_once_one_wins(tmp_path, stale):
    if stale:
        with FolderLock(tmp_path) as held:
            content = held.lease.path.read_text()
        (tmp_path / ".lock").write_text(content.replace('"pid"', '"started": "1", "was"'))
        os.utime(tmp_path / ".lock", (0.0, 0.0))
    racers = [python(RACE, tmp_path) for _ in range(4)]
    for racer in racers:
        racer.stdin.write("\n")
        racer.stdin.flush()
    said = [racer.stdout.readline() for racer in racers]
    for racer in racers:
        racer.communicate("\n")
    assert sorted(said) == ["refused\n"] * 3 + ["won\n"]


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="cannot be used"):
        FolderLock(tmp_path / "file" / "run").__enter__()
