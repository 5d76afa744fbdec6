"""What a calculator is, and how one becomes a force of OpenMM.

A calculator is described by its recipe: names and numbers, never code. Files and other processes get the
recipe, and build the calculator anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
from jaxtyping import Float

from boltzgen.errors import InputError

if TYPE_CHECKING:
    import openmm

KINDS = {
    "tight-binding": ("boltzgen.calculators.tight_binding", "TightBinding"),
    "learned": ("boltzgen.calculators.learned", "LearnedPotential"),
}
"""Modules and classes by the ``kind`` of a recipe, imported when one is used."""


class Calculator(Protocol):
    """A program that computes energies and gradients of one molecule.

    Attributes
    ----------
    kind
        Its name in ``KINDS``.
    in_process
        Whether its energies are computed in this process, by torch. Others are computed in worker processes.
    """

    kind: ClassVar[str]
    in_process: bool

    @property
    def n_atoms(self) -> int:
        """Atoms of the molecule."""

    def recipe(self) -> dict[str, Any]:
        """Arguments that build the calculator again: names and numbers."""

    def load(self) -> None:
        """Make it ready. Raises InputError where it cannot describe the molecule."""

    def energies_and_gradients(
        self, positions: Float[np.ndarray, "n atoms 3"]
    ) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, "n atoms 3"]]:
        """Energies in kJ/mol and gradients in kJ/mol/nm of finite positions in nm.

        A conformation that the program finds no energy for has +inf and a zero gradient.
        """


def from_recipe(recipe: Mapping[str, Any]) -> Calculator:
    """The calculator that ``described`` described. Raises InputError for a kind that is not known."""
    arguments = dict(recipe)
    kind = arguments.pop("kind", None)
    if kind not in KINDS:
        raise InputError(f"'{kind}' is no kind of calculator; there are {', '.join(KINDS)}.")
    module, name = KINDS[kind]
    return getattr(import_module(module), name)(**arguments)


def described(calculator: Calculator) -> dict[str, Any]:
    """The recipe of ``calculator`` with its kind."""
    return {"kind": calculator.kind, **calculator.recipe()}


@dataclass(frozen=True)
class Computation:
    """The function of a PythonForce: OpenMM's State to energy and forces.

    It is pickled as its recipe, so that the calculator itself, with its memory, stays in one process.

    Attributes
    ----------
    recipe
        Names and values, as ``described`` gives them; sequences are tuples.
    """

    recipe: tuple[tuple[str, Any], ...]

    @classmethod
    def of(cls, calculator: Calculator) -> Computation:
        """The computation by ``calculator``."""
        items = described(calculator).items()
        return cls(tuple((key, tuple(v) if isinstance(v, list) else v) for key, v in items))

    def __call__(self, state: openmm.State) -> tuple[float, np.ndarray]:
        """Energy in kJ/mol and forces in kJ/mol/nm."""
        positions = np.array(state.getPositions(asNumpy=True)._value, dtype=np.float64)
        energies, gradients = _calculator(self).energies_and_gradients(positions[None])
        return float(energies[0]), -gradients[0]


@lru_cache(maxsize=8)
def _calculator(computation: Computation) -> Calculator:
    return from_recipe(dict(computation.recipe))


def add_calculator(system: openmm.System, calculator: Calculator, name: str) -> None:
    """Adds the energy of ``calculator`` to ``system`` as a PythonForce called ``name``."""
    import openmm

    force = openmm.PythonForce(Computation.of(calculator))
    force.setName(name)
    system.addForce(force)
