"""Positions to soft torsions and whitened stiff coordinates and back, with the Jacobian.

**The measure of every density in boltzgen.** Z = ∫ exp(−u) dx_int. dx_int is the Cartesian measure (nm) of
the labelled atoms with the 8π²V of rigid motion divided out (4πV for a diatomic, V for one atom), over the
configurations that keep every stereocentre and every order of prochiral labels. In bonds b, angles θ and
torsions, |∂x/∂q| = b₁² b₂² sin θ₁ · Π b² sin θ over the further atoms. Symmetric rotors are folded into one
period; ``log_multiplicity`` is the logarithm of the number of images that the fold leaves out, so that
Z = Z_domain · exp(log_multiplicity).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from boltzgen.coordinates.base import StiffBase
from boltzgen.coordinates.circle import StretchedCircle
from boltzgen.coordinates.groups import Group
from boltzgen.coordinates.labels import LabelRules
from boltzgen.coordinates.torsion_shift import TorsionShift
from boltzgen.coordinates.unbounded import UnboundedCoordinates
from boltzgen.coordinates.whitening import Whitening
from boltzgen.coordinates.zmatrix import ZMatrix


class MolecularCoordinates(nn.Module):
    """Bijection between positions in the fundamental domain and (torsions, stiff coordinates).

    ``n_torsions`` torsions τ ∈ (−π, π] on the circle, stretched such that thermal frames are about uniform;
    ``n_stiff`` unbounded coordinates, of which ``base`` is the density at the temperature of the frames;
    ``folds`` [n_torsions] the periods of each torsion's rotor. Batch first here, batch last in everything
    below.
    """

    def __init__(self, zmatrix: ZMatrix, groups: list[Group], labels: LabelRules) -> None:
        super().__init__()
        self.zmatrix, self.groups, self.labels = zmatrix, groups, labels
        self.unbounded = UnboundedCoordinates(zmatrix, groups)
        self.n_atoms = zmatrix.n_atoms
        self.n_torsions = len(self.unbounded.soft_groups)
        self.n_stiff = sum(self.unbounded.sizes)
        self.torsion_names = [self._torsion_name(g) for g in self.unbounded.soft_groups]
        self.circle = StretchedCircle(self.n_torsions)
        self.shift = TorsionShift(self.n_stiff, self.folds)
        self.whitening = Whitening(self.n_stiff)
        self.base = StiffBase(self.n_stiff)

    @property
    def folds(self) -> Tensor:
        """Periods of each torsion's rotor [n_torsions], 1 where it has none."""
        return self.unbounded.folds[:, 0]

    @property
    def log_multiplicity(self) -> float:
        """ln of the number of labelled images that folding leaves out."""
        return self.labels.log_multiplicity

    @property
    def multiplicity(self) -> int:
        """How many labelled images stand for each point of the domain."""
        return round(math.exp(float(self.log_multiplicity)))

    def to_positions(
        self, torsions: Float[Tensor, "batch torsions"], stiff: Float[Tensor, "batch stiff"]
    ) -> tuple[Float[Tensor, "batch atoms 3"], Float[Tensor, " batch"]]:
        """Positions (nm) and ln |∂x_int/∂(τ, y)|. The root atom is at the origin, its first bond along z."""
        raw, log_slope = self.whitening.unwhiten(stiff.T)
        angles, log_stretch = self.circle.stretch(torsions.T)
        x, log_det = self.unbounded.positions(angles, raw + self.shift(angles))
        return x.permute(2, 1, 0), log_det + log_slope + log_stretch

    def from_positions(
        self, x: Float[Tensor, "batch atoms 3"]
    ) -> tuple[Float[Tensor, "batch torsions"], Float[Tensor, "batch stiff"], Float[Tensor, " batch"]]:
        """Torsions, stiff coordinates and the ln |det| that ``to_positions`` has there; relabels x first.

        Where no labels bring x into the domain (another stereoisomer) ln |det| is +inf: densities there are
        zero.
        """
        x = self.canonicalise(x)
        angles, raw, log_det = self.unbounded.measure(x.permute(2, 1, 0))
        stiff, log_slope = self.whitening.whiten(raw - self.shift(angles))
        torsions, log_stretch = self.circle.unstretch(angles)
        log_det = torch.where(self.contains(x), log_det, torch.inf)
        return torsions.T, stiff.T, log_det + log_slope + log_stretch

    def contains(self, x: Float[Tensor, "batch atoms 3"]) -> Tensor:
        """Whether x is in the domain, or an image of it by ``randomise_labels``: bool [batch].

        Where not, a sample x has no weight: it shows another stereoisomer, or prochiral labels out of order.
        The ranges see to both but where a ring closes, and where frames are too bent for a range: describe()
        lists what is "checked" here alone. A hot sample of a ring torn open can lose it, as 1 of 10,000 of
        cycloocta-1,5-diene at 1000 K. x is judged with the labels it has, so that a copy with its labels
        exchanged does not count.
        """
        return self.labels.contains(x, self.unbounded.placement)

    def canonicalise(self, x: Float[Tensor, "batch atoms 3"]) -> Float[Tensor, "batch atoms 3"]:
        """x with its labels exchanged such that it lies in the fundamental domain."""
        return self.labels.canonicalise(x, self.unbounded.placement)

    def randomise_labels(
        self, x: Float[Tensor, "batch atoms 3"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "batch atoms 3"]:
        """A uniformly random one of the exp(log_multiplicity) images of each x in the domain."""
        return self.labels.randomise(x, self.unbounded.placement, generator)

    def config(self) -> dict[str, Any]:
        """What ``from_config`` needs beside the state dict, as JSON can hold it."""
        return {
            "zmatrix": self.zmatrix.config(),
            "groups": [group.config() for group in self.groups],
            "labels": self.labels.config(),
            "base": self.base.config(),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> MolecularCoordinates:
        """Coordinates as ``config`` describes them; load the state dict for whitening and base."""
        coordinates = cls(
            ZMatrix.from_config(config["zmatrix"]),
            [Group.from_config(group) for group in config["groups"]],
            LabelRules.from_config(config["labels"]),
        )
        coordinates.base = StiffBase.from_config(config["base"])
        return coordinates

    def _torsion_name(self, group: Group) -> str:
        axis = self.zmatrix.axis[group.centre]
        atoms = (group.children[0], group.centre, axis, self.zmatrix.reference[group.centre])
        return "-".join(str(atom) for atom in atoms)
