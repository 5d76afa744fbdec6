"""The commonest term of an energy: one expression, summed over clusters of atoms (bonds, angles, pairs)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor

from boltzgen.codegen.derivatives import gradient
from boltzgen.codegen.graphs import Node, constant, variable
from boltzgen.codegen.tables import Table
from boltzgen.energies.language.expressions import Scope, coordinate_names, parse
from boltzgen.energies.terms.term import TermData
from boltzgen.errors import InputError


class ClusterTerm:
    """Σ over clusters of f(positions of the cluster's atoms, its parameters), in kJ/mol.

    Parameters
    ----------
    name
        Name of the term.
    expression
        f in OpenMM's CustomCompoundBondForce language over particles p1 … pm.
    atoms
        int64 [clusters, m].
    parameter_names
        Names of the parameters in the expression.
    parameters
        float64 [clusters, parameter_names], in OpenMM's units.
    constants
        Global parameters by name.
    tables
        Tabulated functions by name.

    Raises
    ------
    InputError
        Where ``atoms`` or ``parameters`` are of another shape.
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

    @property
    def particles(self) -> int:
        """Number of atoms m of a cluster."""
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

    def check_atoms(self, n_atoms: int) -> None:
        """Check that every index is one of an atom.

        Parameters
        ----------
        n_atoms
            Number of atoms of the molecule.

        Raises
        ------
        InputError
            For an index that is not one of ``n_atoms``.
        """
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

    def data(self) -> TermData:
        """Atoms [clusters, m] and parameters [clusters, parameter_names]."""
        return TermData(len(self.atoms), self.atoms, self.parameters)
