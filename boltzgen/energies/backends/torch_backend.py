"""Energies by torch operations: every device and precision, differentiable as often as one likes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from boltzgen.energies.backends.backend import Backend, Evaluator, finite
from boltzgen.energies.backends.torch_born import TorchBorn
from boltzgen.energies.backends.torch_cluster import TorchCluster
from boltzgen.energies.terms.born import BornTerm
from boltzgen.energies.terms.cluster import ClusterTerm
from boltzgen.energies.terms.term import GraphTerm

_EVALUATORS: dict[type, Callable[..., Evaluator]] = {ClusterTerm: TorchCluster, BornTerm: TorchBorn}


class TorchBackend(Backend):
    """Evaluates terms by torch operations, without a compiler."""

    def serves(self, x: Tensor) -> bool:
        """Whether the positions are floating-point numbers.

        Parameters
        ----------
        x
            Positions, [3, atoms, batch].

        Returns
        -------
        bool
            Whether ``build`` makes an evaluator for them.
        """
        return x.is_floating_point()

    def build(
        self, terms: Sequence[GraphTerm], n_atoms: int, dtype: torch.dtype, device: torch.device
    ) -> Evaluator:
        """Make an evaluator of the terms' sum; autograd can differentiate both of its results.

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
        """
        evaluators = [self.evaluator(term, dtype, device) for term in terms]

        def evaluate(x: Tensor) -> tuple[Tensor, Tensor]:
            energy, gradient = x.new_zeros(x.shape[2]), torch.zeros_like(x)
            for evaluator in evaluators:
                e, g = evaluator(x)
                energy += e
                gradient += g
            return finite(x, energy, gradient)

        return evaluate

    def evaluator(self, term: GraphTerm, dtype: torch.dtype, device: torch.device) -> Evaluator:
        """Make an evaluator of one term, whose results are as computed: NaN stays NaN.

        Parameters
        ----------
        term
            A term of a known kind.
        dtype
            Precision of the positions.
        device
            Device of the positions.

        Returns
        -------
        Evaluator
            Function of positions in nm, which returns energies in kJ/mol and gradients in kJ/mol/nm.
        """
        return _EVALUATORS[type(term)](term, dtype, device)
