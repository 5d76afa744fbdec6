"""A process that is asked to end puts its work aside first, and at once if it is asked again."""

import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file

from boltzgen.interruption import DeferredSignals, InterruptedRunError, raising_on_signals

SETTINGS = """
molecule = "CCCC"
n_samples = 200
model_settings = {torsion_couplings = 2, torsion_hidden = 8, stiff_couplings = 2, stiff_hidden = 8}
frames = {ladders = 8, picoseconds = 1.0, walkers = 64, local_picoseconds = 2.0}
training = {objective = "reverse-kl", max_steps = STEPS, batch_size = 64}
"""
WORKER = """
import os, signal
from boltzgen.interruption import InterruptedRunError, ignore_repeated_signals, raising_on_signals
ignore_repeated_signals()
with raising_on_signals():
    try:
        signal.raise_signal(signal.SIGUSR2)
    except InterruptedRunError as stopped:
        for number in (signal.SIGTERM, signal.SIGUSR2, signal.SIGTERM):
            signal.raise_signal(number)
        os._exit(stopped.exit_code)
"""
BUSY = """
from boltzgen.interruption import DeferredSignals
with DeferredSignals():
    print("busy", flush=True)
    while True:
        pass
"""


@pytest.fixture(autouse=True)
def heeded():
    """Ctrl-C does something: a shell starts jobs in the background with it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def begun(*arguments):
    """The command line as a process of its own, with one thread so that sums have one order."""
    return subprocess.Popen(
        [sys.executable, "-c", "from boltzgen.cli import main; main()", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def trains(process) -> bool:
    """Whether ``process`` has come to its training."""
    return any("] training" in line for line in process.stderr)


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 75), (signal.SIGUSR2, 75)],
)
def test_a_signal_is_raised_with_its_exit_code(number, code):
    before = signal.getsignal(number)
    with pytest.raises(InterruptedRunError, match=number.name) as raised, raising_on_signals():
        signal.raise_signal(number)
    assert raised.value.exit_code == code
    assert signal.getsignal(number) is before


def test_a_deferred_signal_waits_and_then_takes_its_course():
    reached = []

    def stopped():
        with raising_on_signals(), DeferredSignals() as deferred:
            signal.raise_signal(signal.SIGTERM)
            reached.append(deferred.requested)

    with pytest.raises(InterruptedRunError):
        stopped()
    assert reached == [True]


def test_the_second_one_ends_the_process_at_once():
    with subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "busy\n"
        process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == -signal.SIGINT


def test_repeated_signals_do_not_disturb_a_process_that_works_for_another():
    assert subprocess.run([sys.executable, "-c", WORKER]).returncode == 75


def test_a_run_without_a_folder_says_that_nothing_is_kept(tmp_path):
    (tmp_path / "run.toml").write_text(SETTINGS.replace("STEPS", "100000"))
    with begun("train", tmp_path / "run.toml") as process:
        assert trains(process)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.splitlines()[-1] == "boltzgen: stopped by SIGINT. Nothing of this run was kept."


@pytest.mark.slow
def test_a_run_that_is_stopped_and_killed_ends_as_one_that_was_not(tmp_path):
    """Ctrl-C, SIGTERM, SIGUSR1 and SIGKILL, one after the other, in one run."""
    settings, whole, folder = tmp_path / "run.toml", tmp_path / "whole", tmp_path / "run"
    settings.write_text(SETTINGS.replace("STEPS", "4000"))
    with begun("train", settings, "-o", whole) as process:
        _, said = process.communicate()
        assert process.returncode in (0, 3), said
    arguments = ["train", str(settings), "-o", str(folder)]
    for number, code in (
        (signal.SIGINT, 130),
        (signal.SIGTERM, 143),
        (signal.SIGUSR1, 75),
        (signal.SIGKILL, -9),
    ):
        with begun(*arguments) as process:
            assert trains(process)
            time.sleep(1.0)
            process.send_signal(number)
            _, said = process.communicate(timeout=60)
        assert process.returncode == code, said
        assert (folder / "checkpoint.safetensors").exists()
        if "--resume" not in arguments:
            command = f"boltzgen {' '.join(arguments)} --resume"
            last = f"boltzgen: stopped by SIGINT. This goes on where it was: {command}"
            assert said.splitlines()[-1] == last
            arguments.append("--resume")
    with begun(*arguments) as process:
        _, said = process.communicate()
        assert process.returncode in (0, 3), said
    assert sorted(os.listdir(folder)) == sorted(os.listdir(whole))
    model, same = load_file(folder / "model.safetensors"), load_file(whole / "model.safetensors")
    assert all(torch.equal(model[name], same[name]) for name in same)
    assert (folder / "conformers.sdf").read_bytes() == (whole / "conformers.sdf").read_bytes()
