"""A molecule's potential energy: a sum of terms, evaluated for a batch of conformations at once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from .terms import ClusterTerm


class Energy(torch.nn.Module):
    """Potential energy in kJ/mol of positions [3, atoms, batch] in nm.

    It computes in the precision and on the device of the positions. A conformation whose energy or gradient
    is not finite (coincident atoms, NaN or infinite positions) has energy +inf and gradient zero.
    """

    def __init__(self, n_atoms: int, terms: Sequence[ClusterTerm], compiled: str | bool = "auto") -> None:
        super().__init__()
        self.n_atoms = n_atoms
        self.terms = _with_unique_names(terms)
        self.compiled = compiled

    def forward(self, x: Float[Tensor, "3 atoms batch"]) -> Float[Tensor, " batch"]:
        """Energies in kJ/mol; differentiable once."""
        return _EnergyFunction.apply(x, self)

    @torch.no_grad()
    def energy_and_gradient(
        self, x: Float[Tensor, "3 atoms batch"]
    ) -> tuple[Float[Tensor, " batch"], Float[Tensor, "3 atoms batch"]]:
        """Energies in kJ/mol and their gradients in kJ/mol/nm, without an autograd graph."""
        energy, gradient = x.new_zeros(x.shape[2]), torch.zeros_like(x)
        for term in self.terms.values():
            e, g = term.energy_and_gradient(x)
            energy += e
            gradient += g
        return _finite(energy, gradient)

    @torch.no_grad()
    def term_energies(self, x: Float[Tensor, "3 atoms batch"]) -> dict[str, Float[Tensor, " batch"]]:
        """Energy of each force by name, kJ/mol, exactly as computed (NaN stays NaN)."""
        return {name: term.energy_and_gradient(x)[0] for name, term in self.terms.items()}


def _with_unique_names(terms: Sequence[ClusterTerm]) -> dict[str, ClusterTerm]:
    named: dict[str, ClusterTerm] = {}
    for term in terms:
        name, copy = term.name, 2
        while name in named:
            name, copy = f"{term.name} {copy}", copy + 1
        named[name] = term
    return named


def _finite(energy: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
    sound = torch.isfinite(energy) & torch.isfinite(gradient).all(dim=1).all(dim=0)
    if sound.all():
        return energy, gradient
    return energy.masked_fill(~sound, torch.inf), gradient.masked_fill(~sound, 0.0)


class _EnergyFunction(torch.autograd.Function):
    """Forces are computed with the energy; backward only scales them."""

    @staticmethod
    def forward(ctx, x: Tensor, energy: Energy) -> Tensor:  # type: ignore[override]
        value, gradient = energy.energy_and_gradient(x.detach())
        ctx.save_for_backward(gradient)
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx, received: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        (gradient,) = ctx.saved_tensors
        return gradient * received, None
