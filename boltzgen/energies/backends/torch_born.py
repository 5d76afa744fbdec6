"""Implicit-solvent terms evaluated by torch operations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from boltzgen.codegen.graphs import Node, variables
from boltzgen.codegen.operators import SMALLEST_DIVISOR
from boltzgen.codegen.torch_printer import torch_function
from boltzgen.energies.backends.torch_cluster import block_width, full
from boltzgen.energies.terms.born import BornTerm
from boltzgen.energies.terms.born_graphs import AXES, PAIR_NO_EXCLUSIONS


class TorchBorn:
    """Evaluator of one BornTerm."""

    def __init__(self, term: BornTerm, dtype: torch.dtype, device: torch.device) -> None:
        self.graphs = term.graphs
        self.columns = term.parameters.to(device=device, dtype=dtype).T.unsqueeze(-1)
        self.pairs = {kind: pairs.to(device) for kind, pairs in term.pairs.items()}
        self.tables = {name: table.to(dtype, device).evaluate for name, table in term.tables.items()}
        self._functions: dict[tuple[int, ...], tuple[list[str], Callable[..., Any]]] = {}

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Energy [batch] in kJ/mol and its gradient [3, atoms, batch]; x in nm."""
        energy, forces = x.new_zeros(x.shape[2]), torch.zeros_like(x)
        width = block_width(x.device, len(self.pairs[PAIR_NO_EXCLUSIONS]))
        for start in range(0, x.shape[2], width):
            lanes = slice(start, start + width)
            energy[lanes], forces[:, :, lanes] = self._block(x[:, :, lanes])
        return energy, forces

    def _block(self, x: Tensor) -> tuple[Tensor, Tensor]:
        graphs, n = self.graphs, x.shape[1]
        columns = self.columns
        environment = {f"parameter{c}_1": column for c, column in enumerate(columns)}
        environment |= dict(zip(AXES, x, strict=True))
        values = [x.new_zeros(n, x.shape[2]) for _ in range(graphs.n_values)]
        slopes = [torch.zeros_like(v) for v in values]
        forces, energy = torch.zeros_like(x), x.new_zeros(x.shape[2])
        sides = {kind: _Sides(x, pairs, columns) for kind, pairs in self.pairs.items()}

        derivatives = []
        for m, (kind, outputs) in enumerate(graphs.sums):
            side = sides[kind]
            for one, other in ((0, 1), (1, 0)):
                f, df = self._evaluate(outputs, side.environment(one, other, []), side.shape, x)
                values[m].index_add_(0, side.atoms[one], f)
                derivatives.append((m, side, one, df))
        environment |= {f"value{m}_1": values[m] for m in range(len(graphs.sums))}
        for m, result in enumerate(self._evaluate(graphs.derived, environment, (n, x.shape[2]), x)):
            values[len(graphs.sums) + m] = result
        environment |= {f"value{m}_1": value for m, value in enumerate(values)}

        e, *by = self._evaluate(graphs.single, environment, (n, x.shape[2]), x)
        energy += e.sum(0)
        forces += torch.stack(by[:3])
        for slope, share in zip(slopes, by[3:], strict=True):
            slope += share
        for kind, outputs in graphs.pair:
            side = sides[kind]
            e, by_r, *by = self._evaluate(outputs, side.environment(0, 1, values), side.shape, x)
            energy += e.sum(0)
            side.push(forces, by_r)
            for position, share in enumerate(by):
                one, m = divmod(position, graphs.n_values)
                slopes[m].index_add_(0, side.atoms[one], share)
        environment |= {f"weight{m}": slope for m, slope in enumerate(slopes[len(graphs.sums) :])}
        by = self._evaluate(graphs.back, environment, (n, x.shape[2]), x)
        forces += torch.stack(by[:3])
        for slope, share in zip(slopes, by[3:], strict=False):
            slope += share
        for m, side, one, df in derivatives:
            side.push(forces, slopes[m][side.atoms[one]] * df)
        return energy, forces

    def _evaluate(
        self, outputs: list[Node], environment: Mapping[str, Tensor], shape: tuple[int, int], like: Tensor
    ) -> list[Tensor]:
        key = tuple(id(output) for output in outputs)
        if key not in self._functions:
            names = sorted(set().union(*(variables(output) for output in outputs)))
            self._functions[key] = (names, torch_function(outputs, names, self.tables))
        names, function = self._functions[key]
        return [full(value, shape, like) for value in function(*(environment[name] for name in names))]


class _Sides:
    """Pairs of atoms seen from either end: distances, unit vectors, parameters."""

    def __init__(self, x: Tensor, pairs: Tensor, columns: Tensor) -> None:
        self.atoms = (pairs[:, 0], pairs[:, 1])
        difference = x[:, pairs[:, 0]] - x[:, pairs[:, 1]]
        self.r = (difference * difference).sum(0).sqrt()
        self.direction = difference / self.r.clamp(min=SMALLEST_DIVISOR)
        self.columns = [columns[:, index] for index in self.atoms]
        self.shape = (len(pairs), x.shape[2])

    def environment(self, one: int, other: int, values: Sequence[Tensor]) -> dict[str, Tensor]:
        found = {"r": self.r}
        for side, end in ((1, one), (2, other)):
            found |= {f"parameter{c}_{side}": column for c, column in enumerate(self.columns[end])}
            found |= {f"value{m}_{side}": value[self.atoms[end]] for m, value in enumerate(values)}
        return found

    def push(self, forces: Tensor, by_r: Tensor) -> None:
        """Adds the gradient of an energy with derivative ``by_r`` by the distance."""
        for axis in range(3):
            share = by_r * self.direction[axis]
            forces[axis].index_add_(0, self.atoms[0], share)
            forces[axis].index_add_(0, self.atoms[1], -share)
