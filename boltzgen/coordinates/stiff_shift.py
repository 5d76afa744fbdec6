"""How stiff coordinates move from one energy to another that is much alike: a shift and a new width.

Two levels of theory differ by hundredths of an ångström in bond lengths and by some per cent in force
constants. Each is a fraction of a thermal width, but there are dozens of them, and weights between the levels
are products over all. A linear map takes most of that away, and a few hundred gradients give it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from boltzgen.coordinates.base import StiffBase
from boltzgen.coordinates.internal import MolecularCoordinates
from boltzgen.coordinates.whitening import shrunk_covariance

PRIOR = 0.3  # standard deviation of a change of precision, relative to the precision itself
LEAST_PRECISION, MOST_PRECISION = 0.2, 5.0  # of the new density in units of the old


@dataclass(frozen=True)
class StiffMap:
    """y → offset [stiff] + factor [stiff, stiff] · y; the factor is lower triangular."""

    offset: Tensor
    factor: Tensor

    def apply(self, coordinates: MolecularCoordinates) -> None:
        """Let ``coordinates`` take y to where they took offset + factor · y."""
        whitening = coordinates.whitening
        old = whitening.factor.double()
        mean = whitening.mean.double() + old @ self.offset[:, None]
        whitening.set(mean.to(whitening.mean), (old @ self.factor).to(whitening.factor))


def fit_stiff_map(
    stiff: Float[Tensor, "samples stiff"],
    slopes: Float[Tensor, "samples stiff"],
    base: StiffBase,
    kept: Bool[Tensor, " samples"],
) -> StiffMap:
    """The map that takes the samples of a model to the density of an energy, as far as both are Gaussian.

    With precision P and mean μ of the samples, and B, c the linear regression of the slopes of log q + u on
    y − μ, the density exp(−u) has the precision P + B and the mean μ − (P + B)⁻¹ c. Coordinates with several
    basins (``base.multimodal_indices``), of which μ is a mean each, are shifted as one and keep their width.

    Parameters
    ----------
    stiff, slopes
        Samples y of the model, and ∂(log q + u)/∂y there.
    base
        The density that tells the basins of the samples.
    kept
        Samples without clashes, to which the regression is fitted.
    """
    y, slopes = stiff.double()[kept], slopes.double()[kept]
    n, d = y.shape
    centred = _centred(y, base)
    factor = torch.linalg.cholesky(shrunk_covariance(centred.T, max(n - 1, 1)))
    z = torch.linalg.solve_triangular(factor, centred.T, upper=False).T
    forces = slopes @ factor  # slopes with respect to z
    constant = forces.mean(0)
    ridge = float((forces - constant).var(0).mean()) / PRIOR**2
    gram = z.T @ z + ridge * torch.eye(d, dtype=z.dtype, device=z.device)
    response = torch.linalg.solve(gram, z.T @ (forces - constant))
    values, vectors = torch.linalg.eigh(
        torch.eye(d, dtype=z.dtype, device=z.device) + 0.5 * (response + response.T)
    )
    values = values.clamp(LEAST_PRECISION, MOST_PRECISION)
    covariance = factor @ (vectors / values) @ vectors.T @ factor.T
    shift = -factor @ ((vectors / values) @ (vectors.T @ constant))
    return _map(y, shift, factor @ factor.T, covariance, base)


def _map(y: Tensor, shift: Tensor, old: Tensor, new: Tensor, base: StiffBase) -> StiffMap:
    """The map by which unimodal coordinates get covariance ``new`` for ``old``, and all are shifted."""
    one = base.unimodal_indices.to(y.device)
    linear = torch.eye(y.shape[1], dtype=y.dtype, device=y.device)
    before, after = (torch.linalg.cholesky(matrix[one[:, None], one]) for matrix in (old, new))
    linear[one[:, None], one] = torch.linalg.solve_triangular(before.T, after.T, upper=True).T
    mean = y.mean(0)
    return StiffMap(mean + shift - linear @ mean, linear)


def _centred(y: Float[Tensor, "samples stiff"], base: StiffBase) -> Float[Tensor, "samples stiff"]:
    """Deviations from the mean; in blocks with several basins from the mean of the sample's own."""
    centred = y - y.mean(0)
    for block in base.blocks:
        own = y[:, block.indices]
        each = [block.component_log_prob(own.to(block.means), k) for k in range(len(block.means))]
        basin = torch.stack(each).argmax(0)
        for k in basin.unique():
            rows = torch.nonzero(basin == k).flatten()
            centred[rows[:, None], block.indices] = own[rows] - own[rows].mean(0)
    return centred
