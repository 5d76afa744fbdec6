"""Whitening: stiff coordinates in units of their thermal covariance within a basin."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

SMALLEST_DEVIATION = 1e-4  # of a coordinate whose frames do not vary
LEAST_VARIANCE = 1e-9  # of the greatest: combinations below depend on the others


class Whitening(nn.Module):
    """raw = mean + factor · y with a factor of the covariance, triangular in some order. Batch last."""

    mean: Tensor
    factor: Tensor
    inverse: Tensor
    log_det: Tensor

    def __init__(self, n: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n, 1, dtype=torch.float64))
        self.register_buffer("factor", torch.eye(n, dtype=torch.float64))
        self.register_buffer("inverse", torch.eye(n, dtype=torch.float64))
        self.register_buffer("log_det", torch.zeros((), dtype=torch.float64))

    def fit(
        self,
        raw: Float[Tensor, "stiff frames"],
        basins: Tensor,
        blocks: Sequence[Sequence[int]],
        distances: Float[Tensor, "k frames"] | None = None,
        slopes: Float[Tensor, "k stiff"] | None = None,
    ) -> None:
        """Sets mean and covariance from frames, each in one of the ``basins`` [frames], or −1 and not used.

        The mean is that of all frames; the covariance is pooled over the frames' deviations from the mean of
        their own basin, and shrunk towards its diagonal (``shrunk_covariance``). Each of the ``blocks`` of
        coordinates is whitened within itself, so that its y depend on it alone (and correlate with those of
        the other blocks as the blocks do); the other coordinates are whitened given all blocks.
        ``distances``, of the given ``slopes`` in raw, keep the spread that they have in the frames.
        """
        used = basins >= 0
        raw, basins = raw[:, used].to(self.mean.dtype), basins[used]
        if raw.shape[0] == 0:
            return
        free = max(raw.shape[1] - int(basins.unique().numel()), 1)
        covariance = shrunk_covariance(_centred(raw, basins), free)
        if distances is not None and slopes is not None:
            spread = shrunk_covariance(_centred(distances[:, used], basins), free)
            covariance = held(covariance, slopes, spread)
        first = [i for block in blocks for i in block]
        order = torch.tensor(first + sorted(set(range(len(raw))) - set(first)))
        factor = _block_factor(covariance[order][:, order], [len(block) for block in blocks])
        triangular = torch.empty_like(factor)
        # y keeps the numbering of the raw coordinates.
        triangular[order[:, None], order] = factor
        self.set(raw.mean(1, keepdim=True), triangular)

    def set(self, mean: Tensor, factor: Tensor) -> None:
        """Sets mean [stiff, 1] and factor [stiff, stiff], triangular in some order of the coordinates."""
        self.mean.copy_(mean)
        self.factor.copy_(factor)
        self.inverse.copy_(torch.linalg.inv(factor))
        self.log_det.copy_(factor.diagonal().log().sum())

    def unwhiten(self, y: Float[Tensor, "stiff batch"]) -> tuple[Float[Tensor, "stiff batch"], Tensor]:
        """Raw coordinates and ln |∂raw/∂y|."""
        return torch.addmm(self.mean, self.factor, y), self.log_det

    def whiten(self, raw: Float[Tensor, "stiff batch"]) -> tuple[Float[Tensor, "stiff batch"], Tensor]:
        """y and ln |∂raw/∂y|."""
        return self.inverse @ (raw - self.mean), self.log_det


def _centred(values: Float[Tensor, "k frames"], basins: Tensor) -> Float[Tensor, "k frames"]:
    """``values`` less their mean in each basin."""
    centred = values.clone()
    for basin in basins.unique():
        members = basins == basin
        centred[:, members] -= values[:, members].mean(1, keepdim=True)
    return centred


def _block_factor(covariance: Float[Tensor, "k k"], sizes: list[int]) -> Float[Tensor, "k k"]:
    """Lower-triangular factor of ``covariance``, whose first coordinates are blocks of the given ``sizes``.

    Diagonal by blocks there: L_B; below, the regression on the blocks times L_B and the Cholesky factor of
    what it leaves (the Schur complement), which is positive definite as ``covariance`` is.
    """
    factor, n = torch.linalg.cholesky(covariance), sum(sizes)
    regression = torch.linalg.solve_triangular(factor[:n, :n], factor[n:, :n], upper=False, left=False)
    factor[:n, :n] = 0.0
    start = 0
    for size in sizes:
        block = slice(start, start + size)
        factor[block, block] = torch.linalg.cholesky(covariance[block, block])
        start += size
    factor[n:, :n] = regression @ factor[:n, :n]
    return factor


def shrunk_covariance(centred: Float[Tensor, "k frames"], free: int) -> Float[Tensor, "k k"]:
    """Covariance of ``centred`` frames with ``free`` degrees of freedom, shrunk towards its diagonal.

    The weight of the diagonal is Schäfer & Strimmer's (2005) estimate for correlations, Σ var(r_ij)/Σ r_ij²,
    so that few frames give a well-conditioned matrix and many leave it as it is.
    """
    deviation = (centred.square().sum(1, keepdim=True) / free).sqrt().clamp_min(SMALLEST_DEVIATION)
    scaled = centred / deviation
    correlation = scaled @ scaled.T / free
    square = scaled.square() @ scaled.square().T / free
    variance = (square - correlation.square()).clamp_min(0) / free
    off = ~torch.eye(len(correlation), dtype=torch.bool, device=centred.device)
    weight = (variance[off].sum() / correlation[off].square().sum().clamp_min(1e-300)).clamp(0.0, 1.0)
    correlation = torch.where(off, (1.0 - weight) * correlation, torch.ones_like(correlation))
    # Fewer frames than coordinates leave directions without any variance.
    correlation = (1.0 - 1e-9) * correlation + 1e-9 * torch.eye(len(correlation), dtype=centred.dtype)
    return deviation * correlation * deviation.T


def held(
    covariance: Float[Tensor, "d d"], slopes: Float[Tensor, "k d"], wanted: Float[Tensor, "k k"]
) -> Float[Tensor, "d d"]:
    """The covariance nearest to ``covariance`` with which slopes · y has the covariance ``wanted``.

    Nearest in relative entropy: the distribution of the k combinations changes, that of everything else given
    them stays (Csiszár 1975). Combinations that depend on each other are held together.
    """
    if not len(slopes):
        return covariance
    spread = slopes @ covariance @ slopes.T
    values, vectors = torch.linalg.eigh(spread)
    kept = values > LEAST_VARIANCE * values.max().clamp_min(1e-300)
    basis = vectors[:, kept] * values[kept].rsqrt()
    gain = covariance @ slopes.T @ basis
    change = basis.T @ wanted @ basis - torch.eye(int(kept.sum()), dtype=covariance.dtype)
    return covariance + gain @ change @ gain.T
