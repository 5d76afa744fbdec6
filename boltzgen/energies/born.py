"""Many-body terms of implicit solvents: per-atom sums over neighbours, functions of them, energies of both.

The language is OpenMM's CustomGBForce, to which its native GBSAOBCForce is translated. For atom i
    s(i) = Σ_j f(r_ij; parameters of i, of j)            sums (an HCT or OBC integral)
    d(i) = g(parameters, s(i), x y z)                    derived values (a Born radius)
    E = Σ_i E₁(parameters, s, d, x y z) + Σ_{i<j} E₂(r_ij; parameters, s, d of i, of j)
and the gradient runs backwards through the three stages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from typing import Any, ClassVar

import torch
from torch import Tensor

from boltzgen.energies.algebra import Node, variables
from boltzgen.energies.born_graphs import AXES, PAIR, PAIR_NO_EXCLUSIONS, BornGraphs, BornLanguage
from boltzgen.energies.cluster import BLOCK, full
from boltzgen.energies.native_born import born_kernel
from boltzgen.energies.tables import Table, pack
from boltzgen.energies.torch_code import SMALLEST_DIVISOR, torch_function
from boltzgen.errors import InputError


@dataclass
class BornTerm:
    """A CustomGBForce-like term over all atoms.

    parameters: float64 [atoms, parameter_names]; values: (name, expression, kind) in order of definition;
    energies: (expression, kind); exclusions: pairs left out of terms of kind PAIR; cutoff: nm or None.
    """

    name: str
    parameter_names: Sequence[str]
    parameters: Tensor
    values: Sequence[tuple[str, str, str]]
    energies: Sequence[tuple[str, str]]
    exclusions: Sequence[tuple[int, int]] = ()
    cutoff: float | None = None
    constants: Mapping[str, float] = field(default_factory=dict)
    tables: Mapping[str, Table] = field(default_factory=dict)

    kind: ClassVar[str] = "born"

    def __post_init__(self) -> None:
        if self.parameters.ndim != 2 or self.parameters.shape[1] != len(self.parameter_names):
            raise InputError(
                f"{self.name}: parameters of shape {tuple(self.parameters.shape)} given for "
                f"{len(self.parameter_names)} parameter names; they must be [atoms, names]"
            )

    def check_atoms(self, n_atoms: int) -> None:
        """InputError unless there are parameters for ``n_atoms`` atoms."""
        if len(self.parameters) != n_atoms:
            raise InputError(
                f"{self.name} has parameters of {len(self.parameters)} atoms for a molecule of {n_atoms}; "
                "give one set for each atom"
            )

    @cached_property
    def pairs(self) -> dict[str, Tensor]:
        """Pairs i < j of each kind, int64 [pairs, 2]."""
        everything = list(combinations(range(len(self.parameters)), 2))
        excluded = {(min(p), max(p)) for p in self.exclusions}
        kept = [pair for pair in everything if pair not in excluded]
        return {
            PAIR_NO_EXCLUSIONS: torch.tensor(everything, dtype=torch.int64).reshape(-1, 2),
            PAIR: torch.tensor(kept, dtype=torch.int64).reshape(-1, 2),
        }

    @cached_property
    def graphs(self) -> BornGraphs:
        sizes = {name: table.dimension for name, table in self.tables.items()}
        return BornLanguage(
            self.parameter_names, self.values, self.energies, self.cutoff, self.constants, sizes
        ).graphs()

    def energy_and_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Energy [batch] in kJ/mol and its gradient [3, atoms, batch], uncompiled; x in nm."""
        energy, forces = x.new_zeros(x.shape[2]), torch.zeros_like(x)
        block = BLOCK["cpu" if x.device.type == "cpu" else "cuda"]
        width = max(1, block // max(1, len(self.pairs[PAIR_NO_EXCLUSIONS])))
        for start in range(0, x.shape[2], width):
            lanes = slice(start, start + width)
            energy[lanes], forces[:, :, lanes] = self._block(x[:, :, lanes])
        return energy, forces

    def _block(self, x: Tensor) -> tuple[Tensor, Tensor]:
        graphs, n = self.graphs, x.shape[1]
        columns = self.parameters.to(device=x.device, dtype=x.dtype).T.unsqueeze(-1)
        environment = {f"parameter{c}_1": column for c, column in enumerate(columns)}
        environment |= dict(zip(AXES, x, strict=True))
        values = [x.new_zeros(n, x.shape[2]) for _ in range(graphs.n_values)]
        slopes = [torch.zeros_like(v) for v in values]
        forces, energy = torch.zeros_like(x), x.new_zeros(x.shape[2])
        sides = {kind: _Sides(x, pairs.to(x.device), columns) for kind, pairs in self.pairs.items()}

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
            tables = {name: table.evaluate for name, table in self.tables.items()}
            self._functions[key] = (names, torch_function(outputs, names, tables))
        names, function = self._functions[key]
        return [full(value, shape, like) for value in function(*(environment[name] for name in names))]

    @cached_property
    def _functions(self) -> dict:
        return {}

    def state(self) -> dict[str, Any]:
        """Arguments that build the term again."""
        return {
            "name": self.name,
            "parameter_names": list(self.parameter_names),
            "parameters": self.parameters,
            "values": [tuple(value) for value in self.values],
            "energies": [tuple(energy) for energy in self.energies],
            "exclusions": [tuple(pair) for pair in self.exclusions],
            "cutoff": self.cutoff,
            "constants": dict(self.constants),
            "tables": {name: table.state() for name, table in self.tables.items()},
        }

    def native_source(self, dtype: torch.dtype) -> str:
        """C++ kernel of this term."""
        return born_kernel(self.graphs, len(self.parameter_names), dtype, self.tables)

    def native_data(self, dtype: torch.dtype) -> tuple[int, Tensor, Tensor, Tensor]:
        """Number of pairs not excluded; all pairs, then those; parameters [atoms, p]; tables."""
        pairs = torch.cat([self.pairs[PAIR_NO_EXCLUSIONS], self.pairs[PAIR]]).to(torch.int32).contiguous()
        return len(self.pairs[PAIR]), pairs, self.parameters.to(dtype).contiguous(), pack(self.tables)[0]


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
