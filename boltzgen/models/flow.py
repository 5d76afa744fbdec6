"""Normalizing flow over a molecule's internal coordinates.

Latent torsions are uniform on the torus, latent stiff coordinates follow the coordinates' base density.
Torsions move first, by circular splines conditional on each other (and on ring puckers); stiff coordinates
follow, by affine couplings conditional on all torsions and on each other: q(τ, y) = q(τ) q(y | τ).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

import torch
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, PositiveInt
from torch import Tensor, nn

from boltzgen.flows.couplings import FlowLayer, StiffCoupling, StiffSpline, TorsionCoupling
from boltzgen.models.base import base_log_prob, sample_base
from boltzgen.models.model import GenerativeModel, Internal

if TYPE_CHECKING:
    from boltzgen.coordinates.internal import MolecularCoordinates


WIDTH_STEP = 32


class FlowConfig(BaseModel):
    """Size of a flow.

    Widths of hidden layers grow with the molecule by default: ``stiff_hidden`` is twice the number of stiff
    coordinates within 128 and 256, ``torsion_hidden`` eight times that of torsions within 64 and 128, both
    rounded up to a multiple of 32.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    torsion_couplings: PositiveInt = 6
    torsion_bins: PositiveInt = 8
    torsion_hidden: PositiveInt | None = None
    stiff_couplings: PositiveInt = 8
    stiff_hidden: PositiveInt | None = None
    spline_bins: PositiveInt = 8
    mask_seed: int = 0

    def sized(self, n_torsions: int, n_stiff: int) -> FlowConfig:
        """These settings with the widths that they leave open."""
        hidden = self.hidden(n_torsions, n_stiff)
        return self.model_copy(update=dict(zip(("torsion_hidden", "stiff_hidden"), hidden, strict=True)))

    def hidden(self, n_torsions: int, n_stiff: int) -> tuple[int, int]:
        """Widths of the layers that move torsions, and stiff coordinates, of a molecule with so many."""
        return (
            self.torsion_hidden or _width(8 * n_torsions, 64, 128),
            self.stiff_hidden or _width(2 * n_stiff, 128, 256),
        )


def _width(wanted: int, least: int, most: int) -> int:
    return min(max(WIDTH_STEP * math.ceil(wanted / WIDTH_STEP), least), most)


def _halves(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    order = torch.randperm(n, generator=generator)
    return order[: (n + 1) // 2].sort().values, order[(n + 1) // 2 :].sort().values


def _layers(coordinates: MolecularCoordinates, config: FlowConfig) -> nn.ModuleList:
    generator = torch.Generator().manual_seed(config.mask_seed)
    n_torsions, n_stiff = coordinates.n_torsions, coordinates.n_stiff
    torsion_hidden, stiff_hidden = config.hidden(n_torsions, n_stiff)
    folds = coordinates.folds.cpu()
    everything, nothing = torch.arange(n_stiff), torch.arange(0)
    context = coordinates.base.multimodal_indices.cpu()
    layers = nn.ModuleList()

    def torsion_layer(moved: Tensor, kept: Tensor) -> None:
        layers.append(TorsionCoupling(moved, kept, context, folds, config.torsion_bins, torsion_hidden))

    if n_torsions:
        torsion_layer(torch.arange(n_torsions), nothing)
    for _ in range(config.torsion_couplings // 2 if n_torsions > 1 else 0):
        first, second = _halves(n_torsions, generator)
        torsion_layer(first, second)
        torsion_layer(second, first)
    if n_stiff:
        layers.append(StiffSpline(n_stiff, config.spline_bins))
    for _ in range(config.stiff_couplings // 2 if n_stiff > 1 else 0):
        first, second = _halves(n_stiff, generator)
        layers.append(StiffCoupling(first, second, folds, stiff_hidden))
        layers.append(StiffCoupling(second, first, folds, stiff_hidden))
    if n_stiff:
        layers.append(StiffCoupling(everything, nothing, folds, stiff_hidden))
        layers.append(StiffSpline(n_stiff, config.spline_bins))
    return layers


def _through(
    layers: Iterable[nn.Module], point: Internal, inverse: bool
) -> tuple[Internal, Float[Tensor, " batch"]]:
    """``point`` carried through ``layers``, or back through them, and the log-determinant of that."""
    torsions, stiff = point
    log_det = stiff.new_zeros(len(stiff))
    for layer in reversed(list(layers)) if inverse else layers:
        step = cast("FlowLayer", layer)
        torsions, stiff, change = step.inverse(torsions, stiff) if inverse else step(torsions, stiff)
        log_det = log_det + change
    return Internal(torsions, stiff), log_det


class FlowModel(GenerativeModel):
    """A bijection of latent and molecular internal coordinates with exact log density both ways."""

    coordinates: MolecularCoordinates
    config: FlowConfig

    def __init__(self, coordinates: MolecularCoordinates, config: FlowConfig | None = None) -> None:
        super().__init__()
        self.config = (config or FlowConfig()).sized(coordinates.n_torsions, coordinates.n_stiff)
        self.coordinates = coordinates
        self.layers = _layers(coordinates, self.config)

    def sample_latent(self, n: int, generator: torch.Generator | None = None) -> Internal:
        """``n`` latent points of the base density."""
        return sample_base(self.coordinates, n, generator)

    def latent_log_prob(self, latent: Internal) -> Float[Tensor, " batch"]:
        """log density of the base at ``latent``."""
        return base_log_prob(self.coordinates, latent)

    def forward(self, latent: Internal) -> tuple[Internal, Float[Tensor, " batch"]]:
        """Latent to molecular internal coordinates, and log|∂ molecular/∂ latent|."""
        return _through(self.layers, latent, inverse=False)

    def inverse(self, internal: Internal) -> tuple[Internal, Float[Tensor, " batch"]]:
        """Molecular internal coordinates to latent, and log|∂ latent/∂ molecular|."""
        return _through(self.layers, internal, inverse=True)

    def move_stiff(self, torsions: Tensor, stiff: Tensor) -> tuple[Tensor, Float[Tensor, " batch"]]:
        """Latent stiff coordinates to molecular ones, given molecular torsions; and the log-determinant."""
        moved, log_det = _through(self._stiff_layers, Internal(torsions, stiff), inverse=False)
        return moved.stiff, log_det

    def unmove_stiff(self, torsions: Tensor, stiff: Tensor) -> tuple[Tensor, Float[Tensor, " batch"]]:
        """The inverse of ``move_stiff``."""
        latent, log_det = _through(self._stiff_layers, Internal(torsions, stiff), inverse=True)
        return latent.stiff, log_det

    def unmove_torsions(self, torsions: Tensor, stiff: Tensor) -> tuple[Tensor, Float[Tensor, " batch"]]:
        """Molecular torsions to latent ones, given latent stiff coordinates; and the log-determinant."""
        latent, log_det = _through(self._torsion_layers, Internal(torsions, stiff), inverse=True)
        return latent.torsions, log_det

    @property
    def _torsion_layers(self) -> list[nn.Module]:
        return [layer for layer in self.layers if isinstance(layer, TorsionCoupling)]

    @property
    def _stiff_layers(self) -> list[nn.Module]:
        return [layer for layer in self.layers if not isinstance(layer, TorsionCoupling)]

    def internal_log_prob(self, internal: Internal) -> Float[Tensor, " batch"]:
        """log density of internal coordinates in the measure dτ dy: what likelihood training maximises."""
        latent, log_det = self.inverse(internal)
        return self.latent_log_prob(latent) + log_det

    def decode(
        self, latent: Internal
    ) -> tuple[Internal, Float[Tensor, "batch atoms 3"], Float[Tensor, " batch"]]:
        """Internal coordinates, positions in nm and log q of the molecule at ``latent``."""
        internal, flow_log_det = self.forward(latent)
        x, log_det = self.coordinates.to_positions(internal.torsions, internal.stiff)
        log_q = self.latent_log_prob(latent) - flow_log_det - log_det
        return internal, x, log_q - self.coordinates.log_multiplicity

    def sample_with_log_prob(
        self, n: int, generator: torch.Generator | None = None
    ) -> tuple[Float[Tensor, "batch atoms 3"], Float[Tensor, " batch"]]:
        """``n`` positions in nm, equivalent rotor substituents labelled at random, and their log q."""
        _, x, log_q = self.decode(self.sample_latent(n, generator))
        return self.coordinates.randomise_labels(x, generator), log_q

    def log_prob(self, x: Float[Tensor, "batch atoms 3"]) -> Float[Tensor, " batch"]:
        """log q of positions in nm, whatever their labelling; −inf for another stereoisomer."""
        torsions, stiff, log_det = self.coordinates.from_positions(x)
        log_p = self.internal_log_prob(Internal(torsions, stiff))
        return log_p - log_det - self.coordinates.log_multiplicity
