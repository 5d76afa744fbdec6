"""A run that is cut short anywhere goes on from its folder and ends as one that was never cut."""

import errno
import json
import os
from pathlib import Path

import mdtraj
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import boltzgen
from boltzgen.errors import EvaluationError, UnsavedResultsError
from boltzgen.files.lock import FolderLock
from boltzgen.files.tensors import load_tensors
from boltzgen.progress import Stopwatch
from boltzgen.sampling.frames import FramesConfig
from boltzgen.training import checkpoint, trainer
from boltzgen.training.config import TrainingConfig
from boltzgen.workflows import fitting, run_folder, sample
from boltzgen.workflows.config import SampleConfig
from boltzgen.workflows.sample import run_sample

CONFIG = SampleConfig(
    molecule="CCCC",
    n_samples=300,
    frames=FramesConfig(ladders=8, picoseconds=1.0, walkers=64, local_picoseconds=2.0),
    model_settings={"torsion_couplings": 2, "torsion_hidden": 8, "stiff_couplings": 2, "stiff_hidden": 8},
    training=TrainingConfig(objective="reverse-kl", max_steps=40, batch_size=64),
)
# What a run writes that is not a matter of time.
SAME_BYTES = ("conformers.sdf", "topology.pdb", "molecule.json", "config.toml")


class KilledError(Exception):
    """Stands for the end of the process."""


def kill(*_, **__):
    raise KilledError


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a run that was never cut."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    run_sample(CONFIG, folder)
    return folder


def cut(folder, monkeypatch, where):
    """The folder of a run that is killed before, in or after its training, or while it writes."""
    with monkeypatch.context() as patched:
        if where == "before training":
            patched.setattr(sample, "untrained_model", kill)
        elif where == "in training":
            patched.setattr(checkpoint, "SECONDS_BETWEEN", -1.0)
            rate, steps = trainer.learning_rate_factor, []

            def killing(progress: float, n: int) -> float:
                steps.append(n)
                return kill() if len(steps) == 26 else rate(progress, n)

            patched.setattr(trainer, "learning_rate_factor", killing)
        elif where == "after training":
            patched.setattr(sample, "draw", kill)
        elif where == "in writing":
            patched.setattr("mdtraj.Trajectory.save_dcd", kill)
        else:
            patched.setattr(run_folder, "report_page", kill)
        with pytest.raises(KilledError):
            run_sample(CONFIG, folder)
    return folder


def numbers(folder) -> dict:
    """The summary without what depends on the time that it took."""
    summary = json.loads((folder / "summary.json").read_text())
    summary["training_history"].pop("seconds")
    return {name: value for name, value in summary.items() if "second" not in name}


@pytest.mark.parametrize(
    "where", ["before training", "in training", "after training", "in writing", "before the report"]
)
def test_a_cut_run_ends_as_one_that_was_not(tmp_path, monkeypatch, whole, where):
    folder = cut(tmp_path / "run", monkeypatch, where)
    monkeypatch.setattr(run_folder, "remove_partials", lambda folder: None)
    monkeypatch.setattr(sample, "prepare", kill)  # what was prepared is kept
    run_sample(CONFIG, folder, resume=True)
    assert sorted(os.listdir(folder)) == sorted(os.listdir(whole))
    assert numbers(folder) == numbers(whole)
    with np.load(folder / "ensemble.npz") as ours, np.load(whole / "ensemble.npz") as theirs:
        assert ours.files == theirs.files
        for name in ours.files:
            assert np.array_equal(ours[name], theirs[name]), name
    model, same = load_file(folder / "model.safetensors"), load_file(whole / "model.safetensors")
    assert model.keys() == same.keys()
    assert all(torch.equal(model[name], same[name]) for name in model)
    # The header of the trajectory has the time of day.
    frames, same = (mdtraj.load(run / "trajectory.dcd", top=run / "topology.pdb") for run in (folder, whole))
    assert np.array_equal(frames.xyz, same.xyz)
    for name in SAME_BYTES:
        assert (folder / name).read_bytes() == (whole / name).read_bytes(), name


def test_a_run_is_taken_up_by_the_same_run_alone(tmp_path, monkeypatch):
    folder = cut(tmp_path / "run", monkeypatch, "before training")
    with pytest.raises(boltzgen.InputError, match="already holds a run"):
        run_sample(CONFIG, folder)
    other = CONFIG.model_copy(update={"temperature": 310.0})
    with pytest.raises(boltzgen.InputError, match=r"'temperature' is 300\.0 there, 310\.0 here"):
        run_sample(other, folder, resume=True)
    with FolderLock(folder), pytest.raises(boltzgen.InputError, match="in use by another run"):
        run_sample(CONFIG, folder, resume=True)


def test_what_a_killed_writer_left_is_removed(tmp_path, monkeypatch):
    folder = cut(tmp_path / "run", monkeypatch, "after training")
    (folder / ".partial-123-checkpoint.safetensors").write_bytes(b"half")
    run_sample(CONFIG, folder, resume=True)
    assert not list(folder.glob(".*"))


def test_sizes_that_a_busy_machine_decided_are_taken_up(tmp_path, monkeypatch):
    """The frames of a run with a budget depend on the speed of the machine; the first ones stay."""
    config = CONFIG.model_copy(
        update={"budget_seconds": 100.0, "training": TrainingConfig(objective="reverse-kl", batch_size=64)}
    )
    folder, seen = tmp_path / "run", []

    def looked(model, stages, settings, report, checkpoints, *rest):
        seen.append((checkpoints.origin, settings.budget_seconds))
        raise KilledError

    monkeypatch.setattr(fitting, "train", looked)
    with pytest.raises(KilledError):
        run_sample(config, folder)
    state = load_tensors(folder / "session.safetensors", run_folder.SESSION_KIND)
    used = state["watch"]["elapsed"]
    monkeypatch.setattr("boltzgen.workflows.preparation.affordable_frames", kill)
    watch = Stopwatch()
    with pytest.raises(KilledError):
        run_sample(config, folder, watch=watch, resume=True)
    (origin, _), (again, budget) = seen
    assert again == origin
    assert watch.elapsed > used
    assert budget < 100.0 - used  # the seconds of both sessions count against the budget


@pytest.mark.parametrize("name", ["problem.safetensors", "session.safetensors", "checkpoint.safetensors"])
def test_a_damaged_file_of_an_unfinished_run_is_told_and_done_again(tmp_path, monkeypatch, whole, name):
    folder = cut(tmp_path / "run", monkeypatch, "in training")
    content = bytearray((folder / name).read_bytes())
    content[-100] ^= 1
    (folder / name).write_bytes(content)
    watch = Stopwatch()
    resumed = run_sample(CONFIG, folder, watch=watch, resume=True)
    assert [str(folder / name) in warning and "checksum" in warning for warning in watch.warnings] == [True]
    assert watch.warnings[0] in resumed.metadata["warnings"]
    with np.load(folder / "ensemble.npz") as ours, np.load(whole / "ensemble.npz") as theirs:
        assert np.array_equal(ours["positions"], theirs["positions"])


@pytest.mark.parametrize("name", ["ensemble.npz", "molecule.json", "summary.json", "config.toml"])
def test_a_damaged_file_of_a_finished_run_is_refused(tmp_path, whole, name):
    folder = tmp_path / "run"
    folder.mkdir()
    for path in whole.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / name).write_bytes((folder / name).read_bytes()[:-40])
    with pytest.raises(boltzgen.InputError, match=name if name != "config.toml" else "other settings|TOML"):
        run_sample(CONFIG, folder, resume=True)


def full(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_disk_that_is_full_from_the_beginning_of_training_costs_no_more_than_checkpoints(
    tmp_path, monkeypatch, whole
):
    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN", -1.0)
    monkeypatch.setattr(checkpoint, "save_tensors", full)
    monkeypatch.setattr(run_folder, "save_tensors", full)
    watch = Stopwatch()
    ensemble = run_sample(CONFIG, tmp_path / "run", watch=watch)
    assert len(watch.warnings) == 2  # once each, however often
    assert all("No space left on device" in warning for warning in watch.warnings)
    assert set(watch.warnings) <= set(ensemble.metadata["warnings"])
    with np.load(whole / "ensemble.npz") as theirs:
        assert np.array_equal(ensemble.positions, theirs["positions"])


@pytest.mark.parametrize("room", [True, False])
def test_results_go_where_there_is_room(tmp_path, monkeypatch, room):
    """The trajectory does not fit beside the run; there is another disk that has room, or there is none."""
    folder, other, watch = tmp_path / "run", tmp_path / "other", Stopwatch()
    other.mkdir()
    places = [other] if room else []
    monkeypatch.setattr(run_folder, "other_places", lambda *_: iter(places))
    write = run_folder.write_whole

    def saved(trajectory, path):
        return full() if Path(path).parent == folder else write(Path(path), lambda p: p.write_bytes(b"dcd"))

    monkeypatch.setattr("mdtraj.Trajectory.save_dcd", saved)
    if room:
        ensemble = run_sample(CONFIG, folder, watch=watch)
        (found,) = other.iterdir()
        assert [str(found) in warning for warning in watch.warnings] == [True]
        assert boltzgen.Ensemble.load(found).positions.shape == ensemble.positions.shape
        assert boltzgen.load_model(found / "model.safetensors") is not None
        assert (found / "report.html").exists()
        assert not (folder / "summary.json").exists()
    else:
        with pytest.raises(UnsavedResultsError, match=r"No space left.* [1-9]\d* MB .*--resume") as raised:
            run_sample(CONFIG, folder, watch=watch)
        assert len(raised.value.ensemble) == CONFIG.n_samples
        monkeypatch.undo()
        resumed = run_sample(CONFIG, folder, resume=True)  # room was made
        assert np.array_equal(resumed.positions, raised.value.ensemble.positions)


def test_other_places_are_on_other_disks_and_have_room(tmp_path, monkeypatch):
    monkeypatch.setattr(run_folder.tempfile, "gettempdir", lambda: "/dev/shm")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.chdir(tmp_path)
    if Path("/dev/shm").stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("/dev/shm is not a disk of its own")
    assert list(run_folder.other_places(tmp_path, 1)) == [Path("/dev/shm")]
    assert list(run_folder.other_places(tmp_path, 2**60)) == []


def test_a_run_whose_folder_was_taken_over_writes_nothing_more(tmp_path, monkeypatch):
    draw = sample.draw

    def robbed(*arguments):
        for lock in locks:
            lock.lease.lost = True
        return draw(*arguments)

    locks = []
    enter = FolderLock.__enter__
    monkeypatch.setattr(FolderLock, "__enter__", lambda lock: locks.append(lock) or enter(lock))
    monkeypatch.setattr(sample, "draw", robbed)
    with pytest.raises(EvaluationError, match=r"took .* over"):
        run_sample(CONFIG, tmp_path / "run")
    assert not (tmp_path / "run" / "ensemble.npz").exists()
