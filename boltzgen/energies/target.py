"""The Boltzmann density of a molecule at a temperature, up to its normalising constant."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from boltzgen.energies.energy import Energy
from boltzgen.errors import InputError
from boltzgen.quantities import in_unit
from boltzgen.units import thermal_energy

_HESSIAN_CHUNK = 64  # conformations at once: the graphs of their gradients are in memory


class EvaluationCounter:
    """How many configurations have had their energy computed; shared by a target at several temperatures."""

    def __init__(self) -> None:
        self.count = 0

    def state_dict(self) -> dict[str, int]:
        """The count."""
        return {"count": self.count}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go on from what ``state_dict`` returned."""
        self.count = state["count"]


class BoltzmannTarget:
    """u(x) = U(x)/kT of positions [batch, atoms, 3] in nm, counting every configuration evaluated.

    ``temperature``: kelvin, or an OpenMM quantity. Non-finite positions and coincident atoms have u = +inf
    and a zero gradient (see ``Energy``).
    """

    def __init__(self, energy: Energy, temperature: float, counter: EvaluationCounter | None = None) -> None:
        temperature = in_unit(temperature, "kelvin")
        if not 0.0 < temperature < float("inf"):
            raise InputError(f"temperature must be a positive number of kelvin, not {temperature}")
        self.energy = energy
        self.temperature = float(temperature)
        self.counter = counter or EvaluationCounter()

    @property
    def kT(self) -> float:
        """kJ/mol."""
        return thermal_energy(self.temperature)

    @property
    def n_atoms(self) -> int:
        return self.energy.n_atoms

    @property
    def evaluations(self) -> int:
        """Configurations whose energy was computed, at every temperature together."""
        return self.counter.count

    def at_temperature(self, temperature: float) -> BoltzmannTarget:
        """The same energy at another temperature, counted together with this one."""
        return BoltzmannTarget(self.energy, temperature, self.counter)

    def reduced_energy(self, x: Float[Tensor, "batch atoms 3"]) -> Float[Tensor, " batch"]:
        """u(x). Second derivatives are slow, see ``hessian``."""
        self.counter.count += len(x)
        return self.energy(_batch_last(x)) / self.kT

    def reduced_energy_and_gradient(
        self, x: Float[Tensor, "batch atoms 3"]
    ) -> tuple[Float[Tensor, " batch"], Float[Tensor, "batch atoms 3"]]:
        """u(x) and du/dx (1/nm), without an autograd graph."""
        self.counter.count += len(x)
        energy, gradient = self.energy.energy_and_gradient(_batch_last(x.detach()))
        return energy / self.kT, gradient.permute(2, 1, 0) / self.kT

    def hessian(self, x: Float[Tensor, "batch atoms 3"]) -> Float[Tensor, "batch atoms 3 atoms 3"]:
        """Second derivatives ∂²u/∂x∂x of the reduced energy, in 1/nm².

        For normal modes and harmonic free energies. This is a slow path: torch operations, and three
        derivatives of the gradient an atom. Conformations whose energy is not finite have zeros.

        Raises
        ------
        EvaluationError
            Where a force is left to OpenMM, which has no second derivatives.
        """
        self.counter.count += len(x)
        chunks = [self.energy.hessian(_batch_last(chunk.detach())) for chunk in x.split(_HESSIAN_CHUNK)]
        return torch.cat(chunks, dim=-1).permute(4, 1, 0, 3, 2) / self.kT


def _batch_last(x: Tensor) -> Tensor:
    return x.permute(2, 1, 0).contiguous()
