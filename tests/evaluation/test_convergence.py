"""The verdict: a dropped mode, a heavy tail and too few samples are each told; a good run is not accused."""

import math

import pytest
import torch

from boltzgen.evaluation.convergence import judge, missed_share, unseen_share

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


def normal(n: int, seed: int) -> torch.Tensor:
    return torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def log_weight_in_narrow_model(x: torch.Tensor, width: float = 0.5) -> torch.Tensor:
    """ln of N(0, 1)/N(0, width²); above ln 100 for |x| > 1.88, which 6 % of N(0, 1) is."""
    return math.log(width) - 0.5 * x**2 + 0.5 * (x / width) ** 2


def test_part_of_a_conformer_that_the_model_never_makes_is_counted():
    x = normal(N, 1)
    dropped = torch.where(x > 0.5, torch.inf, math.log(0.69146))  # N(0, 1) cut off at 0.5
    drawn = torch.full((N,), math.log(0.69146))
    share = unseen_share(dropped, torch.arange(N) % 64, drawn, N, math.log(0.69146))
    assert share == pytest.approx(0.30854, abs=0.03)  # Φ(−0.5)
    one_conformer = two_modes(1e-4) | {"log_weights": dropped, "conformer": torch.zeros(N, dtype=torch.long)}
    assert missed_share(**one_conformer) == 0.0


def test_tail_of_the_weights_that_samples_show_as_well_is_not_missed():
    frames, drawn = (log_weight_in_narrow_model(normal(N, seed)) for seed in (2, 3))
    assert float((frames > math.log(100.0)).double().mean()) == pytest.approx(0.06, abs=0.02)
    assert unseen_share(frames, torch.arange(N) % 64, drawn, N, 0.0) == 0.0
    assert unseen_share(frames, torch.arange(N) % 64, drawn.clamp_max(0.0), N, 0.0) == pytest.approx(
        0.06, abs=0.02
    )


def test_few_ladders_that_agree_badly_accuse_nobody():
    """One of eight ladders that sits in a part without density may be replica exchange's own error."""
    ladder = torch.arange(N) % 8
    frames = torch.where(ladder == 0, torch.inf, 0.0)
    assert unseen_share(frames, ladder, torch.zeros(N), N, 0.0) == 0.0
    assert unseen_share(frames, torch.arange(N) // 8 % 64, torch.zeros(N), N, 0.0) == pytest.approx(1 / 8)


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
