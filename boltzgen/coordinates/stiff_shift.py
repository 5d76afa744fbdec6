"""How stiff coordinates move from one energy to another that is much alike: shifts and new widths.

Two levels of theory differ by hundredths of an ångström in bond lengths and by some per cent in force
constants. Each is a fraction of a thermal width, but there are dozens of them, and weights between the levels
are products over all. Linear maps take most of that away, and a few hundred gradients give them.

With precision P and mean μ of the samples of a model, and B, c the linear regression of the slopes of
log q + u on y − μ, a Gaussian density exp(−u) has the precision P + B and the mean μ − (P + B)⁻¹ c.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from boltzgen.coordinates.base import MixtureBlock, StiffBase
from boltzgen.coordinates.internal import MolecularCoordinates
from boltzgen.coordinates.whitening import shrunk_covariance

PRIOR = 0.3  # standard deviation of a change of precision, relative to the precision itself
LEAST_PRECISION, MOST_PRECISION = 0.2, 5.0  # of the new density in units of the old
POOLED = 20.0  # samples that the slopes of all basins count for in the mean of one


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


@dataclass(frozen=True)
class BasinMap:
    """Where the Gaussians of a mixture were and are: means [k, d] and factors [k, d, d] of covariances."""

    block: MixtureBlock
    old_means: Tensor
    old_factors: Tensor
    means: Tensor
    factors: Tensor

    def apply(self) -> None:
        """Put the Gaussians of the block where they are to be; their weights stay."""
        weights = torch.softmax(self.block.log_weights.detach().double(), 0)
        self.block.set(weights, self.means.to(self.block.means), self.factors.to(self.block.factors))

    def move(self, y: Float[Tensor, "n d"], basins: Int[Tensor, " n"]) -> tuple[Tensor, Tensor]:
        """Points of the old ``basins`` in the new ones, and the logarithm of the change of volume, [n]."""
        linear = torch.linalg.solve_triangular(
            self.old_factors.mT, self.factors.mT, upper=True
        ).mT  # factor · old factor⁻¹
        moved = torch.einsum("nij,nj->ni", linear[basins], y.double() - self.old_means[basins])
        volume = linear.diagonal(dim1=1, dim2=2).log().sum(1)
        return (self.means[basins] + moved).to(y), volume[basins].to(y)


def basins_of(block: MixtureBlock, y: Float[Tensor, "n d"]) -> Int[Tensor, " n"]:
    """The Gaussian of ``block`` that is densest at each y."""
    each = [block.component_log_prob(y.to(block.means), k) for k in range(len(block.means))]
    return torch.stack(each).argmax(0)


def fit_stiff_map(
    stiff: Float[Tensor, "samples stiff"], slopes: Float[Tensor, "samples stiff"], base: StiffBase
) -> StiffMap:
    """The map that takes the unimodal coordinates of a model's samples to the density of an energy.

    Those with several basins stay: ``fit_basins`` moves these.

    Parameters
    ----------
    stiff, slopes
        Samples y of the model without clashes, and ∂(log q + u)/∂y there.
    base
        Tells which coordinates have several basins.
    """
    y, slopes = stiff.double(), slopes.double()
    mean, one = y.mean(0), base.unimodal_indices.to(y.device)
    centred = y - mean
    for block in base.blocks:
        own, basins = y[:, block.indices], basins_of(block, y[:, block.indices])
        for k in basins.unique():
            rows = torch.nonzero(basins == k).flatten()
            centred[rows[:, None], block.indices] = own[rows] - own[rows].mean(0)
    old = shrunk_covariance(centred.T, max(len(y) - 1, 1))
    response, constants = _response(centred, slopes, old, torch.zeros(len(y), dtype=torch.long))
    new = _changed(old, response)
    shift = -new @ constants[0]
    linear = torch.eye(len(mean), dtype=y.dtype, device=y.device)
    before, after = (torch.linalg.cholesky(matrix[one[:, None], one]) for matrix in (old, new))
    linear[one[:, None], one] = torch.linalg.solve_triangular(before.T, after.T, upper=True).T
    shift[base.multimodal_indices.to(y.device)] = 0.0
    return StiffMap(mean + shift - linear @ mean, linear)


def fit_basins(
    block: MixtureBlock, latent: Float[Tensor, "samples d"], slopes: Float[Tensor, "samples d"]
) -> BasinMap:
    """The Gaussians of ``block``, each moved and reshaped to the density of an energy.

    All change their precision alike. A basin with few samples is moved by the slopes of all.

    Parameters
    ----------
    latent, slopes
        Samples of the block before the flow, of which none clashes, and the slopes of log q + u there.
    """
    means, factors = block.means.double(), block.factors.double()
    y, slopes, basins = latent.double(), slopes.double(), basins_of(block, latent)
    shares = torch.bincount(basins, minlength=len(means)).double() / len(basins)
    pooled = torch.einsum("k,kij,klj->il", shares, factors, factors)
    response, constants = _response(y - means[basins], slopes, pooled, basins)
    new_means, new_factors = means.clone(), factors.clone()
    for k, factor in enumerate(factors):
        covariance = _changed(factor @ factor.T, response)
        new_means[k] -= covariance @ constants.get(k, constants[-1])
        new_factors[k] = torch.linalg.cholesky(covariance)
    return BasinMap(block, means, factors, new_means, new_factors)


def _response(
    centred: Float[Tensor, "n d"],
    slopes: Float[Tensor, "n d"],
    covariance: Float[Tensor, "d d"],
    basins: Int[Tensor, " n"],
) -> tuple[Float[Tensor, "d d"], dict[int, Float[Tensor, " d"]]]:
    """B, symmetric, and c of each basin, by ridge regression in units of ``covariance``; −1 is all basins."""
    factor = torch.linalg.cholesky(covariance)
    z = torch.linalg.solve_triangular(factor, centred.T, upper=False).T
    forces = slopes @ factor
    constants = {-1: forces.mean(0)}
    rest = torch.empty_like(forces)
    for k in basins.unique().tolist():
        rows = basins == k
        total = forces[rows].sum(0) + POOLED * constants[-1]
        constants[k] = total / (int(rows.sum()) + POOLED)
        rest[rows] = forces[rows] - constants[k]
    ridge = float(rest.var(0).mean()) / PRIOR**2
    unit = torch.eye(z.shape[1], dtype=z.dtype, device=z.device)
    response = torch.linalg.solve(z.T @ z + ridge * unit, z.T @ rest)
    back = torch.linalg.solve_triangular(factor, unit, upper=False)
    response = back.T @ (0.5 * (response + response.T)) @ back
    return response, {k: constant @ back for k, constant in constants.items()}


def _changed(covariance: Float[Tensor, "d d"], response: Float[Tensor, "d d"]) -> Float[Tensor, "d d"]:
    """(covariance⁻¹ + response)⁻¹, its precision within bounds of the old one's."""
    factor = torch.linalg.cholesky(covariance)
    unit = torch.eye(len(factor), dtype=factor.dtype, device=factor.device)
    values, vectors = torch.linalg.eigh(unit + factor.T @ response @ factor)
    vectors = factor @ vectors
    return (vectors / values.clamp(LEAST_PRECISION, MOST_PRECISION)) @ vectors.T
