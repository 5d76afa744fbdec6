"""A run's folder that was damaged, mixed up or left half written is refused in one sentence, or mended."""

import json
import resource
import subprocess
from contextlib import contextmanager

import numpy as np
import pytest

from boltzgen.ensemble import Ensemble
from boltzgen.ensemble_folder import write_missing
from boltzgen.errors import InputError
from boltzgen.files.checksums import write_checksums
from tests.test_ensemble import shaken_ensemble

CHECKED = ("ensemble.npz", "molecule.json", "summary.json")


@pytest.fixture
def folder(tmp_path):
    shaken_ensemble("CCCC", n=60).save(tmp_path / "run")
    return tmp_path / "run"


@contextmanager
def file_size_limit(n_bytes: int):
    """No file grows beyond ``n_bytes``: to a process the same as a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_sha256sum_agrees(folder):
    checked = subprocess.run(
        ["sha256sum", "-c", "--strict", "SHA256SUMS"], cwd=folder, capture_output=True, text=True
    )
    assert checked.returncode == 0
    assert len(checked.stdout.splitlines()) == len(list(folder.iterdir())) - 1


@pytest.mark.parametrize("name", CHECKED)
@pytest.mark.parametrize("damage", ["flipped byte", "half a file", "empty", "other text"])
@pytest.mark.parametrize("sums", [True, False])
def test_a_damaged_file_is_refused(folder, name, damage, sums):
    """Without checksums, as from older versions, only a flipped byte of a text may pass."""
    content = bytearray((folder / name).read_bytes())
    if damage == "flipped byte":
        content[len(content) // 2] ^= 1
    elif damage == "half a file":
        content = content[: len(content) // 2]
    else:
        content = bytearray(b"" if damage == "empty" else b"[1, 2")
    (folder / name).write_bytes(content)
    if not sums:
        (folder / "SHA256SUMS").unlink()
    if damage == "flipped byte" and not sums and name != "ensemble.npz":
        return
    with pytest.raises(InputError, match=rf"^{folder / name} .*: restore it or run again\.$"):
        Ensemble.load(folder)


@pytest.mark.parametrize("name", CHECKED)
@pytest.mark.parametrize("sums", [True, False])
def test_a_file_of_another_run_is_refused(folder, tmp_path, name, sums):
    shaken_ensemble("CC(C)C", n=50).save(tmp_path / "other")
    (folder / name).write_bytes((tmp_path / "other" / name).read_bytes())
    if not sums:
        (folder / "SHA256SUMS").unlink()
    if name == "ensemble.npz" and not sums:
        return  # the same number of atoms: only a checksum tells
    with pytest.raises(InputError):
        Ensemble.load(folder)


@pytest.mark.parametrize(
    ("name", "value"),
    [("positions", np.nan), ("reduced_energies", np.nan), ("log_weights", np.nan), ("log_weights", np.inf)],
)
def test_numbers_that_are_not_finite_are_refused(folder, name, value):
    with np.load(folder / "ensemble.npz") as stored:
        arrays = {key: stored[key] for key in stored.files}
    arrays[name].flat[0] = value
    np.savez(folder / "ensemble.npz", **arrays)
    write_checksums(folder, CHECKED)
    with pytest.raises(InputError, match="not finite"):
        Ensemble.load(folder)


def test_an_array_that_is_missing_or_no_archive_is_refused(folder):
    (folder / "SHA256SUMS").unlink()
    np.savez(folder / "ensemble.npz", positions=np.zeros((60, 14, 3), np.float32))
    with pytest.raises(InputError, match="statistics"):
        Ensemble.load(folder)
    with (folder / "ensemble.npz").open("wb") as stream:
        np.save(stream, np.zeros(3))
    with pytest.raises(InputError, match="no archive"):
        Ensemble.load(folder)
    with (folder / "ensemble.npz").open("wb") as stream:
        np.save(stream, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="damaged"):
        Ensemble.load(folder)


def test_files_for_other_programs_are_made_again(folder):
    names = ("conformers.sdf", "trajectory.dcd", "topology.pdb")
    before = {name: (folder / name).read_bytes() for name in names}
    for name in names:
        (folder / name).unlink()
    write_missing(folder, Ensemble.load(folder).files())
    again = {name: (folder / name).read_bytes() for name in names}
    assert again["conformers.sdf"] == before["conformers.sdf"]
    assert {name: len(content) for name, content in again.items()} == {
        name: len(content) for name, content in before.items()
    }


@pytest.mark.parametrize("room", [10, 3_000, 20_000, 60_000])
def test_a_full_disk_is_told_and_leaves_no_half_file(tmp_path, room):
    """Whichever file it is that does not fit: the arrays, the conformers, the trajectory."""
    ensemble = shaken_ensemble("CCCC", n=3000)
    with file_size_limit(room), pytest.raises(OSError, match=r"too large|No space"):
        ensemble.save(tmp_path)
    assert not (tmp_path / "summary.json").exists()
    assert not list(tmp_path.glob(".partial*"))
    for path in tmp_path.iterdir():
        assert path.stat().st_size <= room
        if path.suffix == ".json":
            json.loads(path.read_text())
