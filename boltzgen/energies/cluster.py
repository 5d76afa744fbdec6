"""The commonest term of an energy: one expression, summed over clusters of atoms (bonds, angles, pairs)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor

from boltzgen.energies.algebra import ZERO, Node, constant, variable
from boltzgen.energies.derivatives import gradient
from boltzgen.energies.expressions import Scope, coordinate_names, parse
from boltzgen.energies.native_code import cluster_kernel
from boltzgen.energies.tables import Table, pack
from boltzgen.energies.torch_code import torch_function
from boltzgen.errors import InputError

# Elements of one intermediate tensor in uncompiled evaluation: in a core's cache; in a small GPU's memory.
BLOCK = {"cpu": 2**19, "cuda": 2**24}


class ClusterTerm:
    """Σ over clusters of f(positions of the cluster's atoms, its parameters), in kJ/mol.

    expression: OpenMM's CustomCompoundBondForce language over particles p1 … pm;
    atoms: int64 [clusters, m]; parameters: float64 [clusters, parameter_names];
    constants: global parameters by name; tables: tabulated functions by name.
    """

    kind: ClassVar[str] = "cluster"

    def __init__(
        self,
        name: str,
        expression: str,
        atoms: Tensor,
        parameter_names: Sequence[str] = (),
        parameters: Tensor | None = None,
        constants: Mapping[str, float] | None = None,
        tables: Mapping[str, Table] | None = None,
    ) -> None:
        self.name, self.expression = name, expression
        self.atoms = atoms.to(torch.int64)
        if self.atoms.ndim != 2:
            raise InputError(f"{name}: atoms of shape {tuple(atoms.shape)} given; they must be [clusters, m]")
        self.parameter_names = tuple(parameter_names)
        self.parameters = torch.zeros(len(atoms), 0) if parameters is None else parameters
        self.parameters = self.parameters.to(torch.float64)
        if self.parameters.shape != (len(atoms), len(self.parameter_names)):
            raise InputError(
                f"{name}: parameters of shape {tuple(self.parameters.shape)} given for {len(atoms)} clusters "
                f"and {len(self.parameter_names)} parameter names; they must match"
            )
        self.constants = dict(constants or {})
        self.tables = dict(tables or {})
        self._on: dict[tuple, tuple[list[Tensor], list[Tensor]]] = {}

    @property
    def particles(self) -> int:
        return self.atoms.shape[1]

    @property
    def inputs(self) -> list[str]:
        """Variables of the graphs: coordinates x1 y1 z1 x2 …, then parameters by position."""
        return [
            *coordinate_names(self.particles),
            *(f"parameter{i}" for i in range(len(self.parameter_names))),
        ]

    @cached_property
    def graphs(self) -> list[Node]:
        """Energy and its derivative by each coordinate, of one cluster."""
        scope = Scope(
            names={
                **coordinate_names(self.particles),
                **{name: constant(value) for name, value in self.constants.items()},
                **{name: variable(f"parameter{i}") for i, name in enumerate(self.parameter_names)},
            },
            particles=self.particles,
            tables={name: table.dimension for name, table in self.tables.items()},
        )
        energy = parse(self.expression, scope)
        return [energy, *gradient(energy, list(coordinate_names(self.particles)))]

    @cached_property
    def _function(self) -> Callable[..., tuple[Tensor | float, ...]]:
        return torch_function(self.graphs, self.inputs, {n: t.evaluate for n, t in self.tables.items()})

    def energy_and_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Energy [batch] in kJ/mol and its gradient [3, atoms, batch] in kJ/mol/nm, uncompiled.

        x: positions in nm, [3, atoms, batch].
        """
        batch, device = x.shape[2], x.device
        energy, forces = x.new_zeros(batch), torch.zeros_like(x)
        atoms, parameters = self._arguments(x)
        width = max(1, BLOCK["cpu" if device.type == "cpu" else "cuda"] // max(1, len(self.atoms)))
        for start in range(0, batch, width):
            lanes = slice(start, min(batch, start + width))
            block = x[:, :, lanes]
            gathered = [block[:, index] for index in atoms]
            values, *slopes = self._function(*(row for group in gathered for row in group), *parameters)
            shape = (len(self.atoms), block.shape[2])
            energy[lanes] += full(values, shape, x).sum(0)
            for column, (slope, graph) in enumerate(zip(slopes, self.graphs[1:], strict=True)):
                if graph is not ZERO:
                    particle, axis = divmod(column, 3)
                    forces[axis, :, lanes].index_add_(0, atoms[particle], full(slope, shape, x))
        return energy, forces

    def check_atoms(self, n_atoms: int) -> None:
        """InputError for an index that is not one of ``n_atoms``."""
        outside = self.atoms[(self.atoms < 0) | (self.atoms >= n_atoms)]
        if len(outside):
            raise InputError(
                f"{self.name} acts on atom {int(outside[0])}, but there are atoms 0 to {n_atoms - 1} only; "
                "give force and molecule the same atoms"
            )

    def state(self) -> dict[str, Any]:
        """Arguments that build the term again."""
        return {
            "name": self.name,
            "expression": self.expression,
            "atoms": self.atoms,
            "parameter_names": list(self.parameter_names),
            "parameters": self.parameters,
            "constants": self.constants,
            "tables": {name: table.state() for name, table in self.tables.items()},
        }

    def native_source(self, dtype: torch.dtype) -> str:
        """C++ kernel of this term."""
        return cluster_kernel(self.graphs, self.particles, len(self.parameter_names), dtype, self.tables)

    def native_data(self, dtype: torch.dtype) -> tuple[int, Tensor, Tensor, Tensor]:
        """Number of clusters, atoms [clusters, m], parameters [clusters, p], tables."""
        atoms = self.atoms.to(torch.int32).contiguous()
        return len(atoms), atoms, self.parameters.to(dtype).contiguous(), pack(self.tables)[0]

    def _arguments(self, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Atom indices and parameter columns [clusters, 1] on x's device, in x's precision."""
        key = (x.dtype, x.device)
        if key not in self._on:
            columns = self.parameters.to(device=x.device, dtype=x.dtype).T.unsqueeze(-1)
            self._on[key] = (list(self.atoms.T.contiguous().to(x.device)), list(columns))
        return self._on[key]


def full(value: Tensor | float, shape: tuple[int, int], like: Tensor) -> Tensor:
    if not isinstance(value, Tensor):
        value = torch.full((), value, dtype=like.dtype, device=like.device)
    return value.expand(shape)
