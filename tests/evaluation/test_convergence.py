"""The verdict: a dropped mode, a heavy tail and too few samples are each told; a good run is not accused."""

import math

import pytest
import torch

from boltzgen.evaluation.convergence import judge, missed_share

N = 2000


def two_modes(model_weight: float) -> dict:
    """Frames of ½ N(−4, 1) + ½ N(4, 1), and their log weights in a model with another right-hand weight."""
    generator = torch.Generator().manual_seed(1)
    right = torch.arange(N) % 2
    x = torch.randn(N, generator=generator, dtype=torch.float64) + 8.0 * right - 4.0

    def log_density(weight: float) -> torch.Tensor:
        parts = [math.log(1 - weight) - 0.5 * (x + 4) ** 2, math.log(weight) - 0.5 * (x - 4) ** 2]
        return torch.logsumexp(torch.stack(parts), 0) - 0.5 * math.log(2 * math.pi)

    log_p = log_density(0.5)
    return {
        "log_weights": log_p - log_density(model_weight),
        "reduced_energies": -log_p,
        "conformer": right,
        "log_z": 0.0,
        "mean_reduced_energy": float(-log_p.mean()),
    }


def test_a_dropped_mode_is_counted_with_its_share_of_the_frames():
    assert missed_share(**two_modes(1e-4)) == pytest.approx(0.5)
    assert missed_share(**two_modes(0.3)) == 0.0


def test_conformers_too_high_in_energy_to_matter_are_left_out():
    frames = two_modes(1e-4)
    frames["reduced_energies"] = frames["reduced_energies"] + 8.0 * frames["conformer"]
    assert missed_share(**frames) == 0.0


@pytest.mark.parametrize(
    ("ess", "k", "missed", "word"),
    [(50.0, 0.3, 0.0, "effective samples"), (5e3, 0.8, 0.0, "Pareto-k"), (5e3, 0.3, 0.05, "5 %")],
)
def test_each_fault_has_a_sentence(ess, k, missed, word):
    verdict = judge(ess, k, missed)
    assert not verdict.converged
    assert len(verdict.warnings) == 1
    assert word in verdict.warnings[0]


def test_what_is_not_a_number_does_not_pass():
    assert not judge(float("nan"), 0.3, 0.0).converged
    assert not judge(5e3, float("nan"), 0.0).converged


def test_a_good_run_has_converged():
    assert judge(5e3, 0.3, 0.0).converged
