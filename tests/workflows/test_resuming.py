"""A run killed while it trains goes on from its folder and ends as one that was never cut."""

import numpy as np
import pytest
import torch

import boltzgen
from boltzgen.sampling.frames import FramesConfig
from boltzgen.training import checkpoint, trainer
from boltzgen.training.config import TrainingConfig
from boltzgen.workflows.config import SampleConfig
from boltzgen.workflows.sample import run_sample

CONFIG = SampleConfig(
    molecule="CCCC",
    n_samples=300,
    frames=FramesConfig(ladders=8, picoseconds=1.0, walkers=64, local_picoseconds=2.0),
    model_settings={"torsion_couplings": 2, "torsion_hidden": 8, "stiff_couplings": 2, "stiff_hidden": 8},
    training=TrainingConfig(objective="reverse-kl", max_steps=40, batch_size=64),
)


class KilledError(Exception):
    """Stands for the end of the process."""


@pytest.fixture
def cut(tmp_path, monkeypatch):
    """The folder of a run killed after 25 of its 40 steps, with a checkpoint from before every step."""
    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN", -1.0)
    steps = 0
    rate = trainer._learning_rate_factor

    def killing(progress: float, n: int) -> float:
        nonlocal steps
        steps += 1
        if steps == 26:
            raise KilledError
        return rate(progress, n)

    with monkeypatch.context() as patched:
        patched.setattr(trainer, "_learning_rate_factor", killing)
        with pytest.raises(KilledError):
            run_sample(CONFIG, tmp_path / "run")
    return tmp_path / "run"


def test_a_cut_run_ends_as_one_that_was_not(cut, tmp_path):
    assert (cut / "checkpoint.safetensors").exists()
    with pytest.raises(boltzgen.InputError, match="already holds a run"):
        run_sample(CONFIG, cut)
    other = CONFIG.model_copy(update={"temperature": 310.0})
    with pytest.raises(boltzgen.InputError, match=r"'temperature' is 300\.0 there, 310\.0 here"):
        run_sample(other, cut, resume=True)
    resumed = run_sample(CONFIG, cut, resume=True)
    whole = run_sample(CONFIG, tmp_path / "whole", resume=True)  # nothing there: from the start
    assert np.array_equal(resumed.positions, whole.positions)
    assert resumed.metadata["n_training_steps"] == 40
    assert not (cut / "checkpoint.safetensors").exists()
    parameters = (boltzgen.load_model(folder / "model.safetensors") for folder in (cut, tmp_path / "whole"))
    for one, same in zip(*(model.parameters() for model in parameters), strict=True):
        assert torch.equal(one, same)
    finished = run_sample(CONFIG, cut, resume=True)
    assert finished.summary()["wall_seconds"] == resumed.summary()["wall_seconds"]
