"""Monte Carlo turns about single bonds: barriers that dynamics does not cross in a short run.

Everything beyond a bond turns rigidly by a random angle, accepted by Metropolis at the walker's temperature.
A rigid turn keeps the Cartesian measure and velocities do not depend on positions, so that both stay
Boltzmann's. Hot rungs of a ladder accept turns of amides and esters, which dynamics there hardly ever makes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from boltzgen.sampling.dynamics import Langevin, LangevinState

if TYPE_CHECKING:
    from boltzgen.molecules.molecule import Molecule


@dataclass(frozen=True)
class BondTurns:
    """Bonds [bonds, 2] that turn, and the atoms beyond the second atom of each."""

    axes: Int[Tensor, "bonds 2"]
    beyond: Bool[Tensor, "bonds atoms"]

    @classmethod
    def of(cls, molecule: Molecule, device: str | torch.device = "cpu") -> BondTurns:
        """The acyclic single bonds about which conformers differ; the smaller side of each turns."""
        from boltzgen.molecules.torsions import turning_bonds

        axes, beyond = turning_bonds(molecule)
        return cls(torch.as_tensor(axes, device=device), torch.as_tensor(beyond, device=device))

    def attempt(
        self, kernel: Langevin, state: LangevinState, generator: torch.Generator | None = None
    ) -> tuple[LangevinState, Bool[Tensor, " batch"]]:
        """One turn of a random bond tried in every walker; the new state, and where it was accepted."""
        x = state.positions
        n, device = x.shape[-1], x.device
        if not len(self.axes):
            return state, torch.zeros(n, dtype=torch.bool, device=device)
        bond = torch.randint(len(self.axes), (n,), generator=generator, device=device)
        uniform = torch.rand(2, n, generator=generator, dtype=x.dtype, device=device)
        turned = self._turned(x, bond, (2.0 * uniform[0] - 1.0) * math.pi)
        energy, gradient = kernel.energy_and_gradient(turned)
        accepted = uniform[1].log() < (state.energy - energy) / kernel.kT  # false for energies that are nan
        moved = LangevinState(
            torch.where(accepted, turned, x),
            state.velocities,
            torch.where(accepted, energy, state.energy),
            torch.where(accepted, gradient, state.gradient),
        )
        return moved, accepted

    def _turned(
        self, x: Float[Tensor, "3 atoms batch"], bond: Int[Tensor, " batch"], angle: Float[Tensor, " batch"]
    ) -> Float[Tensor, "3 atoms batch"]:
        """x with all atoms beyond its ``bond`` turned by ``angle`` about it (Rodrigues' formula)."""
        walker = torch.arange(x.shape[-1], device=x.device)
        start, pivot = x[:, self.axes[bond, 0], walker], x[:, self.axes[bond, 1], walker]
        axis = torch.nn.functional.normalize(pivot - start, dim=0)[:, None]
        arm = x - pivot[:, None]
        cos, sin = angle.cos(), angle.sin()
        turned = (
            arm * cos
            + torch.linalg.cross(axis.expand_as(arm), arm, dim=0) * sin
            + axis * (axis * arm).sum(0, keepdim=True) * (1.0 - cos)
        )
        return torch.where(self.beyond[bond].T, pivot[:, None] + turned, x)
