"""The interface between an energy and the ways to evaluate its terms."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from boltzgen.energies.terms.term import GraphTerm

Evaluator = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Energies [batch] in kJ/mol, and gradients in kJ/mol/nm, of positions [3, atoms, batch] in nm."""


class Backend(ABC):
    """One way to evaluate terms. It holds no data of a molecule: what ``build`` returns does."""

    @abstractmethod
    def serves(self, x: Tensor) -> bool:
        """Whether evaluators of this backend take positions of this device and precision.

        Parameters
        ----------
        x
            Positions, [3, atoms, batch].

        Returns
        -------
        bool
            Whether ``build`` makes an evaluator for them.
        """

    @abstractmethod
    def build(
        self, terms: Sequence[GraphTerm], n_atoms: int, dtype: torch.dtype, device: torch.device
    ) -> Evaluator:
        """Make an evaluator of the terms' sum, with their data in this precision and on this device.

        Where anything of a conformation is not finite, its energy is +inf and its gradient zero.

        Parameters
        ----------
        terms
            Terms of a molecule of ``n_atoms`` atoms.
        n_atoms
            Number of atoms.
        dtype
            Precision of the positions.
        device
            Device of the positions.

        Returns
        -------
        Evaluator
            Function of positions in nm, which returns energies in kJ/mol and gradients in kJ/mol/nm.

        Raises
        ------
        EvaluationError
            Where the terms cannot be compiled.
        """


def finite(x: Tensor, energy: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Replace what is not finite, conformation by conformation.

    Parameters
    ----------
    x
        Positions in nm, [3, atoms, batch].
    energy
        Energies in kJ/mol, [batch].
    gradient
        Gradients in kJ/mol/nm, [3, atoms, batch].

    Returns
    -------
    energy, gradient
        +inf and zero for conformations where positions, energy or gradient are not finite.
    """
    # without looking at the result: on an accelerator that would wait for it
    bad = ~(torch.isfinite(energy) & (torch.isfinite(gradient) & torch.isfinite(x)).all(dim=1).all(dim=0))
    return energy.masked_fill(bad, torch.inf), gradient.masked_fill(bad, 0.0)
