"""Refinement within a run: only where it is needed, allowed and in time."""

import numpy as np
import pytest

from boltzgen.sampling.frames import FramesConfig
from boltzgen.training.config import TrainingConfig
from boltzgen.workflows.config import SampleConfig
from boltzgen.workflows.sample import run_sample

SETTINGS = {"torsion_couplings": 2, "torsion_hidden": 8, "stiff_couplings": 2, "stiff_hidden": 8}


def run(refine: str, **changes):
    """A barely trained model of ethanol, with all the time there is."""
    config = {
        "molecule": "CCO",
        "n_samples": 1000,
        "refine": refine,
        "refine_share": 0.9,
        "budget_seconds": 300.0,
        "frames": FramesConfig(ladders=8, picoseconds=1.0, walkers=64, local_picoseconds=2.0),
        "model_settings": SETTINGS,
        "training": TrainingConfig(objective="reverse-kl", max_steps=20, batch_size=64, warmup_share=0.1),
    }
    return run_sample(SampleConfig(**(config | changes)))


@pytest.fixture(scope="module")
def plain():
    return run("off")


def test_poor_samples_are_refined_and_the_models_own_share_is_told(plain):
    ensemble = run("auto")
    summary = ensemble.summary()
    own = plain.effective_sample_size_fraction
    assert own < 0.85
    assert "refinement" not in plain.metadata
    assert plain.metadata["model_effective_sample_size_fraction"] == own
    assert summary["model_effective_sample_size_fraction"] == own
    refinement = summary["refinement"]
    assert refinement["share_before"] == own
    assert refinement["share_after"] == pytest.approx(ensemble.effective_sample_size_fraction)
    assert ensemble.effective_sample_size_fraction > max(0.85, own)
    assert len(ensemble) == 1000 < refinement["proposals"]
    assert (
        summary["n_energy_evaluations"] - plain.metadata["n_energy_evaluations"]
        == (refinement["evaluations"])
    )


def test_refined_and_plain_samples_agree(plain):
    ensemble = run("auto", seed=1)
    for name in ("free_energy_kT", "mean_energy"):
        ours, theirs = getattr(ensemble, name), getattr(plain, name)
        if name == "mean_energy":
            error = np.hypot(ours.stderr, theirs.stderr)
            assert abs(ours.value - theirs.value) < 4 * error
        else:
            error = np.hypot(ensemble.free_energy_stderr_kT, plain.free_energy_stderr_kT)
            assert abs(ours - theirs) < 4 * error


@pytest.mark.parametrize(
    "changes", [{"budget_seconds": None}, {"refine_share": 1e-4}, {"budget_seconds": 0.1}]
)
def test_nothing_is_refined_without_time_or_need(plain, changes):
    """A run of fixed steps and no budget is to repeat itself."""
    ensemble = run("auto", **changes)
    assert "refinement" not in ensemble.metadata
    if "budget_seconds" not in changes or changes["budget_seconds"] is None:
        assert np.array_equal(ensemble.positions, plain.positions)
