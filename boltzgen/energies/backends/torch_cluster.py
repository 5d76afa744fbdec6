"""Cluster terms evaluated by torch operations."""

from __future__ import annotations

import torch
from torch import Tensor

from boltzgen.codegen.graphs import ZERO
from boltzgen.codegen.torch_printer import torch_function
from boltzgen.energies.terms.cluster import ClusterTerm

# Elements of one intermediate tensor: in a core's cache; in a small GPU's memory.
_BLOCK = {"cpu": 2**19, "accelerator": 2**24}


def block_width(device: torch.device, rows: int) -> int:
    """How many conformations to evaluate at once.

    Parameters
    ----------
    device
        Device of the positions.
    rows
        Numbers of an intermediate tensor for each conformation.

    Returns
    -------
    int
        At least one.
    """
    return max(1, _BLOCK["cpu" if device.type == "cpu" else "accelerator"] // max(1, rows))


def full(value: Tensor | float, shape: tuple[int, int], like: Tensor) -> Tensor:
    """Expand a value to a shape.

    Parameters
    ----------
    value
        A tensor that can be expanded, or a number.
    shape
        Shape of the result.
    like
        A tensor of the precision and device that a number gets.

    Returns
    -------
    Tensor
        An expanded view, which must not be written to.
    """
    if not isinstance(value, Tensor):
        value = torch.full((), value, dtype=like.dtype, device=like.device)
    return value.expand(shape)


class TorchCluster:
    """Evaluator of one ClusterTerm."""

    def __init__(self, term: ClusterTerm, dtype: torch.dtype, device: torch.device) -> None:
        self.graphs = term.graphs
        self.atoms = list(term.atoms.T.contiguous().to(device))
        self.columns = list(term.parameters.to(device=device, dtype=dtype).T.unsqueeze(-1))
        tables = {name: table.to(dtype, device).evaluate for name, table in term.tables.items()}
        self.function = torch_function(self.graphs, term.inputs, tables)
        self.n_clusters = len(term.atoms)

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Energy [batch] in kJ/mol and its gradient [3, atoms, batch] in kJ/mol/nm; x in nm."""
        energy, forces = x.new_zeros(x.shape[2]), torch.zeros_like(x)
        width = block_width(x.device, self.n_clusters)
        for start in range(0, x.shape[2], width):
            lanes = slice(start, start + width)
            block = x[:, :, lanes]
            gathered = [block[:, index] for index in self.atoms]
            values, *slopes = self.function(*(row for group in gathered for row in group), *self.columns)
            shape = (self.n_clusters, block.shape[2])
            energy[lanes] += full(values, shape, x).sum(0)
            for column, (slope, graph) in enumerate(zip(slopes, self.graphs[1:], strict=True)):
                if graph is not ZERO:
                    particle, axis = divmod(column, 3)
                    forces[axis, :, lanes].index_add_(0, self.atoms[particle], full(slope, shape, x))
        return energy, forces
