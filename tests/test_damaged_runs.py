"""Files that a run wrote, damaged in any way: what was written comes back, or one sentence.

Text files are compared by content, since a byte of white space may change without harm.
"""

import numpy as np
import pytest
import torch
from hypothesis import given

from boltzgen.ensemble import Ensemble
from boltzgen.files.tensors import load_tensors, save_tensors
from boltzgen.models.flow import FlowConfig, FlowModel
from boltzgen.training.model_file import load_model, save_model
from tests.coordinates.frames import coordinates
from tests.fuzzing import damaged, fuzz, read_or_refused
from tests.test_ensemble import shaken_ensemble

READ = ("ensemble.npz", "molecule.json", "summary.json", "SHA256SUMS")


def is_same(first: Ensemble, second: Ensemble) -> bool:
    arrays = ("positions", "log_weights", "reduced_energies", "log_prob")
    return (
        all(np.array_equal(getattr(first, name), getattr(second, name), equal_nan=True) for name in arrays)
        and first.molecule.smiles == second.molecule.smiles
        and first.molecule.bonds == second.molecule.bonds
        and first.temperature == second.temperature
        and first.summary() == second.summary()
    )


@pytest.mark.parametrize("name", READ)
def test_a_damaged_ensemble_is_refused_or_the_same(tmp_path, name):
    folder = tmp_path / "run"
    shaken_ensemble("CCCC", n=40).save(folder)
    whole, content = Ensemble.load(folder), (folder / name).read_bytes()

    @given(damaged(content))
    @fuzz(60)
    def check(changed):
        (folder / name).write_bytes(changed)
        read = read_or_refused(lambda: Ensemble.load(folder))
        assert read is None or is_same(read, whole)

    check()


@pytest.mark.parametrize("name", READ[:3])
def test_without_checksums_a_damaged_ensemble_is_refused_or_sound(tmp_path, name):
    """As from earlier versions: a changed digit of a text cannot be told, but nothing that makes no sense."""
    folder = tmp_path / "run"
    shaken_ensemble("CCCC", n=40).save(folder)
    (folder / "SHA256SUMS").unlink()
    content = (folder / name).read_bytes()

    @given(damaged(content))
    @fuzz(100)
    def check(changed):
        (folder / name).write_bytes(changed)
        read = read_or_refused(lambda: Ensemble.load(folder))
        if read is not None:
            assert read.positions.shape == (40, read.molecule.n_atoms, 3)
            assert np.isfinite(read.positions).all()
            assert not np.isnan(read.weights).any()
            assert isinstance(read.summary(), dict)
            assert read.molecule.smiles

    check()


def test_a_damaged_model_is_refused_or_the_same(tmp_path):
    path = tmp_path / "model.safetensors"
    small = FlowConfig(torsion_couplings=2, torsion_hidden=8, stiff_couplings=2, stiff_hidden=8)
    save_model(FlowModel(coordinates("butane"), small).double(), path, "flow")
    whole, content = load_model(path), path.read_bytes()

    @given(damaged(content))
    @fuzz(60)
    def check(changed):
        path.write_bytes(changed)
        read = read_or_refused(lambda: load_model(path))
        if read is not None:
            assert read.config == whole.config
            assert read.coordinates.config() == whole.coordinates.config()
            for one, other in zip(read.state_dict().values(), whole.state_dict().values(), strict=True):
                assert torch.equal(one, other)

    check()


def test_damaged_tensors_are_refused_or_the_same(tmp_path):
    """The format of checkpoints too."""
    path = tmp_path / "checkpoint"
    stored = {"step": 3, "state": {"weight": torch.arange(5.0), 7: torch.zeros(2, dtype=torch.int64)}}
    save_tensors(path, stored, "test 1")
    content = path.read_bytes()

    @given(damaged(content))
    @fuzz(150)
    def check(changed):
        path.write_bytes(changed)
        read = read_or_refused(lambda: load_tensors(path, "test 1"))
        if read is not None:
            assert read["step"] == 3
            assert torch.equal(read["state"]["weight"], torch.arange(5.0))
            assert torch.equal(read["state"][7], torch.zeros(2, dtype=torch.int64))

    check()
