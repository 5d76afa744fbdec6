"""Means of stiff coordinates given torsions: against numpy's least squares and a known dependence."""

import math

import numpy as np
import pytest
import torch

from boltzgen.coordinates.torsion_shift import TorsionShift


def frames(n, seed=0):
    """Two torsions, and three stiff coordinates: two depend on them, the last one is noise alone."""
    generator = torch.Generator().manual_seed(seed)
    angles = (2 * torch.rand(2, n, generator=generator, dtype=torch.float64) - 1) * math.pi
    noise = 0.1 * torch.randn(3, n, generator=generator, dtype=torch.float64)
    means = torch.stack(
        [
            0.5 * angles[0].cos() - 0.2 * (2 * angles[1]).sin(),
            0.3 * (3 * angles[1]).cos(),
            torch.zeros_like(angles[0]),
        ]
    )
    return angles, means, means + noise


def test_what_depends_on_torsions_is_found_and_noise_is_left_alone():
    angles, _, raw = frames(4000)
    shift = TorsionShift(3, torch.ones(2))
    shift.fit(angles, raw)
    fresh, means, _ = frames(1000, seed=1)
    # All dependences are harmonics, whose mean over the circle is zero.
    torch.testing.assert_close(shift(fresh), means, atol=0.03, rtol=0)
    assert bool((shift.coefficients[2] == 0).all())


def test_coefficients_are_those_of_least_squares():
    angles, _, raw = frames(4000)
    shift = TorsionShift(3, torch.ones(2))
    shift.fit(angles, raw)
    columns = [np.ones(4000)]
    for k in (1, 2, 3):
        columns += [*np.cos(k * angles.numpy()), *np.sin(k * angles.numpy())]
    expected = np.linalg.lstsq(np.stack(columns, 1), raw.numpy().T, rcond=None)[0][1:].T
    np.testing.assert_allclose(shift.coefficients[:2].numpy(), expected[:2], atol=0.015)


def test_the_mean_over_the_frames_stays():
    angles, _, raw = frames(500)
    shift = TorsionShift(3, torch.ones(2))
    shift.fit(angles, raw)
    torch.testing.assert_close(shift(angles).mean(1), torch.zeros(3, dtype=torch.float64), atol=1e-12, rtol=0)


@pytest.mark.parametrize("n", [1, 2, 20, 60])
def test_few_frames_fit_nothing_that_other_frames_contradict(n):
    angles, _, raw = frames(n)
    shift = TorsionShift(3, torch.ones(2))
    shift.fit(angles, raw)
    assert bool(torch.isfinite(shift.coefficients).all())
    assert float(shift(angles).abs().max()) < 1.0


def test_the_domain_of_a_folded_rotor_may_end_with_a_jump():
    """Labels are exchanged at the seam: what one hydrogen has on one side, another has on the other."""
    generator = torch.Generator().manual_seed(2)
    angles = (2 * torch.rand(1, 4000, generator=generator, dtype=torch.float64) - 1) * math.pi
    raw = (angles / 3).sin() + 0.05 * torch.randn(1, 4000, generator=generator, dtype=torch.float64)
    shift = TorsionShift(1, torch.tensor([3.0]))
    shift.fit(angles, raw)
    ends = shift(torch.tensor([[-3.1, 3.1]], dtype=torch.float64))
    torch.testing.assert_close(
        ends[0, 1] - ends[0, 0], torch.tensor(2 * math.sin(3.1 / 3), dtype=torch.float64), atol=0.1, rtol=0
    )


def test_without_torsions_there_is_no_shift():
    shift = TorsionShift(3, torch.ones(0))
    shift.fit(torch.zeros(0, 50), torch.randn(3, 50))
    assert shift(torch.zeros(0, 7)).shape == (3, 7)


def test_torsions_that_no_frame_has_shift_no_further_than_those_of_the_frames():
    generator = torch.Generator().manual_seed(3)
    angles = 1.0 + 0.1 * torch.randn(1, 400, generator=generator, dtype=torch.float64)
    raw = 2.0 * angles + 0.01 * torch.randn(1, 400, generator=generator, dtype=torch.float64)
    shift = TorsionShift(1, torch.ones(1))
    shift.fit(angles, raw)
    seen = shift(angles)
    everywhere = shift(torch.linspace(-math.pi, math.pi, 100, dtype=torch.float64)[None])
    assert float(everywhere.max()) <= float(seen.max())
    assert float(everywhere.min()) >= float(seen.min())
