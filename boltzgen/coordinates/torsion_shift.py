"""Means of the stiff coordinates as functions of the soft torsions, by linear regression on frames.

Bond lengths, angles and the torsions of rigid parts depend on the soft torsions next to them: an eclipsed
bond is longer, an angle opens where groups meet. The mean of each stiff coordinate at given torsions φ is
taken as a trigonometric polynomial Σ_k a_k cos(kφ) + b_k sin(kφ) of each. φ of an n-fold symmetric rotor runs
through one period 2π/n; relabelling the rotor permutes its substituents, so that the mean may jump where the
period ends. Adding the mean is a shear, which moves stiff coordinates at fixed torsions: its Jacobian
determinant is one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Num
from torch import Tensor, nn

HARMONICS = 3
FRAMES_PER_FEATURE = 20  # with fewer frames fewer harmonics are fitted
RIDGE = 0.01  # added to the features' variance (1/2 for a free torsion): one that hardly moves has no slope


class TorsionShift(nn.Module):
    """Shift of the raw stiff coordinates at given torsions; zero until ``fit``. Batch last.

    Parameters
    ----------
    n_stiff
        Number of stiff coordinates.
    folds
        Periods of each torsion's rotor, [torsions].
    """

    folds: Tensor
    coefficients: Tensor
    centre: Tensor
    bounds: Tensor

    def __init__(self, n_stiff: int, folds: Num[Tensor, " torsions"]) -> None:
        super().__init__()
        n_features = 2 * HARMONICS * len(folds)
        self.register_buffer("folds", folds.detach().clone().double()[:, None], persistent=False)
        self.register_buffer("coefficients", torch.zeros(n_stiff, n_features, dtype=torch.float64))
        self.register_buffer("centre", torch.zeros(n_features, 1, dtype=torch.float64))
        self.register_buffer("bounds", torch.zeros(2, n_stiff, 1, dtype=torch.float64))

    def forward(self, angles: Float[Tensor, "torsions batch"]) -> Float[Tensor, "stiff batch"]:
        """What torsions add to the raw stiff coordinates; ``angles`` = nφ in radians, on the full circle."""
        shift = self.coefficients @ (self._features(angles) - self.centre)
        return shift.clamp(*self.bounds)

    @torch.no_grad()
    def fit(
        self,
        angles: Float[Tensor, "torsions frames"],
        raw: Float[Tensor, "stiff frames"],
        excluded: Sequence[int] = (),
    ) -> None:
        """Set the coefficients by least squares on frames.

        The number of harmonics, and the coordinates that are shifted at all, are those that lower the mean
        square of the other half of the frames, where the first half is fitted. The mean shift of the frames
        is zero; torsions that no frame has shift no further than those of the frames.

        Parameters
        ----------
        angles
            Soft torsions nφ in radians, on the full circle.
        raw
            Stiff coordinates, not whitened.
        excluded
            Coordinates that are not shifted: those of a ring move in concert, which a shift would break.
        """
        n = angles.shape[1]
        features = self._features(angles).double()
        raw = raw.double()
        self.coefficients.zero_()
        self.bounds.zero_()
        self.centre.copy_(features.mean(1, keepdim=True))
        half = n // 2
        per_harmonic = 2 * len(self.folds)
        most = min(HARMONICS, half // (FRAMES_PER_FEATURE * per_harmonic)) if per_harmonic else 0
        if most == 0:
            return
        scale = raw.var(1, keepdim=True).clamp_min(1e-30)
        parts = slice(0, half), slice(half, n)
        numbers = [k * per_harmonic for k in range(most + 1)]
        errors = [error / scale for error in _cross_validation(raw, features, parts, numbers)]
        best = min(range(most + 1), key=lambda k: float(torch.minimum(errors[k], errors[0]).sum()))
        if best == 0:
            return
        used = best * per_harmonic
        fitted = _regression(features[:used] - self.centre[:used], raw - raw.mean(1, keepdim=True))
        self.coefficients[:, :used] = torch.where(errors[best] < errors[0], fitted, 0.0)
        self.coefficients[list(excluded)] = 0.0
        shift = self.coefficients @ (features - self.centre)
        self.bounds.copy_(torch.stack([shift.amin(1, keepdim=True), shift.amax(1, keepdim=True)]))

    def _features(self, angles: Tensor) -> Tensor:
        """cos and sin of the harmonics [2 · HARMONICS · torsions, batch], the lowest harmonic first."""
        turns = (torch.remainder(angles + math.pi, 2.0 * math.pi) - math.pi) / self.folds.to(angles)
        harmonics = torch.cat([k * turns for k in range(1, HARMONICS + 1)])
        both = torch.stack([harmonics.cos(), harmonics.sin()])
        n = len(turns)
        return torch.cat([both[:, k * n : (k + 1) * n].flatten(0, 1) for k in range(HARMONICS)])


def _cross_validation(
    raw: Tensor, features: Tensor, parts: tuple[slice, slice], numbers: Sequence[int]
) -> list[Tensor]:
    """Mean square [stiff, 1] that the first features leave of frames they are not fitted to, by their number.

    The normal equations of fewer features are a leading block of those of all.
    """
    most = max(numbers)
    totals = [raw.new_zeros(raw.shape[0], 1) for _ in numbers]
    for fitted, tested in (parts, parts[::-1]):
        mean, centre = raw[:, fitted].mean(1, keepdim=True), features[:most, fitted].mean(1, keepdim=True)
        gram, moments = _normal_equations(features[:most, fitted] - centre, raw[:, fitted] - mean)
        left, others = raw[:, tested] - mean, features[:most, tested] - centre
        for total, used in zip(totals, numbers, strict=True):
            slopes = torch.linalg.solve(gram[:used, :used], moments[:used]).T
            total += (left - slopes @ others[:used]).square().mean(1, keepdim=True)
    return totals


def _regression(features: Tensor, values: Tensor) -> Tensor:
    """Slopes [stiff, features] of centred ``values`` [stiff, frames] on centred ``features``."""
    return torch.linalg.solve(*_normal_equations(features, values)).T


def _normal_equations(features: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Regularized Gram matrix [features, features], and products with the values [features, stiff]."""
    gram = features @ features.T
    gram.diagonal().add_(RIDGE * features.shape[1])
    return gram, features @ values.T
