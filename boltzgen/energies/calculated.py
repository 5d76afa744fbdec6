"""Energies by calculators: quantum chemistry and machine-learned potentials, as a term of an energy."""

from __future__ import annotations

import json
import pickle
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from boltzgen.calculators.calculator import Calculator, Computation, described, from_recipe
from boltzgen.energies.bridge.term import BridgeTerm

if TYPE_CHECKING:  # saved energies are read without OpenMM
    import openmm


class CalculatorTerm:
    """The energy that a calculator computes of the whole molecule.

    A calculator that is no torch module is evaluated in worker processes, one for each core.

    Parameters
    ----------
    name
        Of the force.
    recipe
        The calculator as JSON (see ``calculators/calculator.py``).
    """

    kind: ClassVar[str] = "calculator"

    def __init__(self, name: str, recipe: str) -> None:
        self.name, self.recipe = name, recipe
        self._calculator: Calculator | None = None
        self._workers = BridgeTerm(name, recipe)

    def state(self) -> dict[str, Any]:
        """Arguments that build the term again."""
        return {"name": self.name, "recipe": self.recipe}

    def energy_and_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Energy [batch] in kJ/mol and gradient [3, atoms, batch] of positions [3, atoms, batch] in nm.

        Positions that are not finite, and those without an energy, give +inf and a zero gradient.
        Raises InputError where the calculator cannot be had here, EvaluationError where a worker fails.
        """
        self._calculator = self._calculator or from_recipe(json.loads(self.recipe))
        if not self._calculator.in_process:
            return self._workers.energy_and_gradient(x)
        frames = x.detach().permute(2, 1, 0).to(device="cpu", dtype=torch.float64).contiguous().numpy()
        energy, gradient = np.full(len(frames), np.inf), np.zeros_like(frames)
        (sound,) = np.isfinite(frames).all(axis=(1, 2)).nonzero()
        if len(sound):
            energy[sound], gradient[sound] = self._calculator.energies_and_gradients(frames[sound])
        return torch.from_numpy(energy).to(x), torch.from_numpy(gradient).permute(2, 1, 0).contiguous().to(x)


def calculator_term(force: openmm.PythonForce, pickled: bytes, n_particles: int) -> CalculatorTerm | None:
    """The term of a force that a calculator computes for all particles; None for any other function.

    ``pickled`` is the force's function, as OpenMM has it in this process.
    """
    function = pickle.loads(pickled)
    particles = list(force.getParticles())
    if not isinstance(function, Computation) or particles not in ([], list(range(n_particles))):
        return None
    recipe = json.dumps(described(from_recipe(dict(function.recipe))))
    return CalculatorTerm(force.getName(), recipe)
