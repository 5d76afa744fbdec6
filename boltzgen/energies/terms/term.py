"""What an energy is a sum of: terms described by graphs and data, and terms that evaluate themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

from torch import Tensor

from boltzgen.codegen.tables import Table


@runtime_checkable
class Term(Protocol):
    """One force."""

    name: str
    kind: ClassVar[str]

    def state(self) -> dict[str, Any]:
        """All it takes to build the term again, as numbers, strings and tensors."""


@dataclass(frozen=True)
class TermData:
    """The arrays that a kernel of a term reads.

    Attributes
    ----------
    count
        How many clusters or pairs the kernel walks over.
    atoms
        int64 atom indices, as the kind of term defines them.
    parameters
        float64 parameters, a row for each cluster or atom.
    """

    count: int
    atoms: Tensor
    parameters: Tensor


@runtime_checkable
class GraphTerm(Term, Protocol):
    """A term that backends evaluate: it says what is computed by graphs, and on which data."""

    tables: Mapping[str, Table]

    def data(self) -> TermData:
        """Indices and parameters, on the CPU in the precision of the force field's files."""

    def check_atoms(self, n_atoms: int) -> None:
        """Check that the term is one of this molecule: kernels trust its indices.

        Parameters
        ----------
        n_atoms
            Number of atoms of the molecule.

        Raises
        ------
        InputError
            Where the term's indices or parameters are not those of ``n_atoms`` atoms.
        """


@runtime_checkable
class EvaluatedTerm(Term, Protocol):
    """A term that no backend can print: it computes its energy by itself."""

    def energy_and_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Evaluate the term.

        Parameters
        ----------
        x
            Positions in nm, [3, atoms, batch].

        Returns
        -------
        energy, gradient
            In kJ/mol, [batch], and in kJ/mol/nm, [3, atoms, batch].
        """
