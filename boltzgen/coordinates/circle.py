"""Torsions on a circle stretched such that uniform values have about the marginals of thermal frames.

Each torsion has a periodic density that is linear between nodes; its distribution function carries the
physical angle to the uniform one, exactly and with a continuous slope. A share of the density is uniform, so
that no angle is out of reach however the frames are populated.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

NODES = 96
UNIFORM_SHARE = 0.05
SMOOTHING = 0.12  # radians, of a Gaussian kernel on the histogram


class StretchedCircle(nn.Module):
    """Uniform angles (−π, π] to physical ones and back, torsion by torsion. Batch last.

    ``density`` [torsions, NODES] at equally spaced nodes from −π; uniform until ``fit``.
    """

    density: Tensor
    cumulative: Tensor

    def __init__(self, n_torsions: int) -> None:
        super().__init__()
        uniform = torch.full((n_torsions, NODES), 0.5 / math.pi, dtype=torch.float64)
        self.register_buffer("density", uniform)
        self.register_buffer("cumulative", torch.zeros(n_torsions, NODES + 1, dtype=torch.float64))
        self._set(uniform)

    def fit(self, angles: Float[Tensor, "torsions frames"]) -> None:
        """Sets the densities from ``angles`` of frames: a smoothed histogram and a uniform share."""
        step = 2.0 * math.pi / NODES
        nodes = step * torch.arange(NODES, dtype=torch.float64)
        apart = torch.remainder(nodes[:, None] - nodes + math.pi, 2 * math.pi) - math.pi
        kernel = torch.exp(-0.5 * (apart / SMOOTHING) ** 2)
        bins = torch.remainder(torch.round((angles.double() + math.pi) / step), NODES).long()
        histogram = torch.zeros(len(angles), NODES, dtype=torch.float64)
        histogram.scatter_add_(1, bins, torch.ones_like(bins, dtype=torch.float64))
        smooth = histogram @ kernel
        smooth = smooth / (smooth.sum(1, keepdim=True) * step)
        self._set((1.0 - UNIFORM_SHARE) * smooth + UNIFORM_SHARE * 0.5 / math.pi)

    def _set(self, density: Tensor) -> None:
        following = density.roll(-1, 1)
        areas = 0.5 * (density + following) * (2.0 * math.pi / NODES)
        total = areas.sum(1, keepdim=True)
        self.density.copy_(density / total)
        self.cumulative[:, 1:].copy_((areas / total).cumsum(1))

    def stretch(self, uniform: Float[Tensor, "torsions batch"]) -> tuple[Tensor, Tensor]:
        """Physical angles and ln |∂(physical)/∂(uniform)| [batch]."""
        share = (uniform + math.pi) / (2.0 * math.pi)
        # Values may come from anywhere on the line: the circle's.
        share = share - torch.floor(share.detach())
        index = (torch.searchsorted(self.cumulative, share.detach().contiguous(), right=True) - 1).clamp(
            0, NODES - 1
        )
        start, slope = self._pieces(index)
        rest = share - self.cumulative.gather(1, index)
        density = (start * start + 2.0 * slope * rest).clamp_min(1e-12).sqrt()
        angle = -math.pi + index.to(rest) * (2.0 * math.pi / NODES) + 2.0 * rest / (start + density)
        return angle, -(2.0 * math.pi * density).log().sum(0)

    def unstretch(self, angle: Float[Tensor, "torsions batch"]) -> tuple[Tensor, Tensor]:
        """Uniform angles of physical ones in (−π, π], and ln |∂(physical)/∂(uniform)| [batch]."""
        step = 2.0 * math.pi / NODES
        index = torch.floor((angle.detach() + math.pi) / step).long().clamp(0, NODES - 1)
        start, slope = self._pieces(index)
        rest = angle + math.pi - index.to(angle) * step
        share = self.cumulative.gather(1, index) + (start + 0.5 * slope * rest) * rest
        density = start + slope * rest
        return -math.pi + 2.0 * math.pi * share, -(2.0 * math.pi * density).log().sum(0)

    def _pieces(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Density at the node before, and its slope."""
        start = self.density.gather(1, index)
        end = self.density.gather(1, torch.remainder(index + 1, NODES))
        return start, (end - start) / (2.0 * math.pi / NODES)
