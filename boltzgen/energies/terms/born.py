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

from boltzgen.codegen.tables import Table
from boltzgen.energies.terms.born_graphs import PAIR, PAIR_NO_EXCLUSIONS, BornGraphs, BornLanguage
from boltzgen.energies.terms.term import TermData
from boltzgen.errors import InputError


@dataclass
class BornTerm:
    """A CustomGBForce-like term over all atoms.

    Parameters
    ----------
    name
        Name of the term.
    parameter_names
        Names of the parameters in the expressions.
    parameters
        float64 [atoms, parameter_names], in OpenMM's units.
    values
        Computed values (name, expression, kind) in order of definition.
    energies
        Energy terms (expression, kind) in kJ/mol.
    exclusions
        Pairs of atoms left out of terms of kind PAIR.
    cutoff
        Distance in nm beyond which pairs do not interact, or None.
    constants
        Global parameters by name.
    tables
        Tabulated functions by name.

    Raises
    ------
    InputError
        Where there is not one parameter of each name for each atom.
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
        """Check that there are parameters for each atom of a molecule.

        Parameters
        ----------
        n_atoms
            Number of atoms of the molecule.

        Raises
        ------
        InputError
            Where there are parameters for another number of atoms.
        """
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
        """The stages of the term as graphs; InputError for an expression that is not understood."""
        sizes = {name: table.dimension for name, table in self.tables.items()}
        return BornLanguage(
            self.parameter_names, self.values, self.energies, self.cutoff, self.constants, sizes
        ).graphs()

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

    def data(self) -> TermData:
        """All pairs of atoms, then those not excluded; parameters [atoms, parameter_names]."""
        pairs = torch.cat([self.pairs[PAIR_NO_EXCLUSIONS], self.pairs[PAIR]])
        return TermData(len(self.pairs[PAIR]), pairs, self.parameters)
