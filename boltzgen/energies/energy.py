"""A molecule's potential energy: a sum of terms, evaluated for a batch of conformations at once."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from boltzgen.codegen.library import find_compiler
from boltzgen.energies import operators
from boltzgen.energies.backends.backend import Backend, Evaluator, finite
from boltzgen.energies.backends.cpp_backend import CppBackend
from boltzgen.energies.backends.cuda_backend import CudaBackend
from boltzgen.energies.backends.torch_backend import TorchBackend
from boltzgen.energies.storage import read_terms, term_from_state, term_state, write_terms
from boltzgen.energies.terms.term import EvaluatedTerm, GraphTerm, Term
from boltzgen.errors import EvaluationError, InputError

_TORCH = TorchBackend()


class Energy(torch.nn.Module):
    """Potential energy of a molecule, for a batch of conformations.

    It computes in the precision and on the device of the positions, so that it follows a model that is moved
    or converted; what it holds on a device is made there at the first use. A conformation whose energy or
    gradient is not finite (coincident atoms, NaN or infinite positions) has energy +inf and gradient zero.

    Parameters
    ----------
    n_atoms
        Number of atoms.
    terms
        What the energy is a sum of. Terms must not be changed afterwards.
    compiled
        ``"auto"`` uses machine code, on the CPU where there is a C++ compiler and on an NVIDIA GPU where
        there is NVRTC, else torch operations; True insists on a C++ compiler; False never uses one.

    Raises
    ------
    InputError
        For terms of other atoms than these, and where a compiler is insisted on and there is none.
    """

    def __init__(self, n_atoms: int, terms: Sequence[Term], compiled: str | bool = "auto") -> None:
        super().__init__()
        self.n_atoms = n_atoms
        for term in terms:
            if isinstance(term, GraphTerm):
                term.check_atoms(n_atoms)
        self.terms = _with_unique_names(terms)
        # Told once: a check against a protocol takes as long as the energies of a small batch.
        self._evaluated = [term for term in self.terms.values() if isinstance(term, EvaluatedTerm)]
        if compiled not in ("auto", True, False):
            raise InputError(f"compiled must be 'auto', True or False, not {compiled!r}")
        if compiled is True and find_compiler() is None:
            raise InputError(
                "no C++ compiler found (CXX, c++, g++, clang++): install one or use compiled=False"
            )
        self.compiled = compiled
        self._backends: list[Backend] = [_TORCH]
        if compiled is not False:
            self._backends = [CppBackend(insisted=compiled is True), CudaBackend(), _TORCH]
        self._evaluators: dict[tuple[torch.dtype, torch.device], Evaluator] = {}
        self.handle = operators.new_handle(self)

    def __reduce__(self) -> tuple[Any, ...]:
        # compiled code and its memory belong to one process: a copy makes its own
        return _from_states, (self.n_atoms, [term_state(t) for t in self.terms.values()], self.compiled)

    @property
    def is_costly(self) -> bool:
        """Whether another program computes part of it, hundreds of times slower than formulas."""
        return any(isinstance(term, EvaluatedTerm) for term in self.terms.values())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a file that ``load`` reads with torch alone: expressions and numbers, no code."""
        write_terms(path, self.n_atoms, self.terms.values())

    @classmethod
    def load(cls, path: str | os.PathLike[str], compiled: str | bool = "auto") -> Energy:
        """Read the energy saved in ``path``. Raises InputError where it is not one."""
        n_atoms, terms = read_terms(path)
        return cls(n_atoms, terms, compiled)

    def forward(self, x: Float[Tensor, "3 atoms batch"]) -> Float[Tensor, " batch"]:
        """Energies in kJ/mol of positions in nm.

        The gradient comes with the energy. Second derivatives (``create_graph=True``) go through torch
        operations, tens of times slower; forces that are left to OpenMM have none.
        """
        return operators.energy(x, self.handle)[0]

    def differentiable_gradient(
        self, x: Float[Tensor, "3 atoms batch"], sound: Bool[Tensor, " batch"]
    ) -> Float[Tensor, "3 atoms batch"]:
        """The gradient by torch operations, which autograd can differentiate; zero where not ``sound``.

        Raises EvaluationError where a force is left to OpenMM.
        """
        terms = []
        for term in self.terms.values():
            if isinstance(term, EvaluatedTerm):
                raise EvaluationError(
                    f"{term.name} is computed by OpenMM, which has no second derivatives: "
                    "take finite differences of its gradient"
                )
            terms.append(_graph_term(term))
        lanes = sound.nonzero().flatten()
        evaluate = _TORCH.build(terms, self.n_atoms, x.dtype, x.device)
        _, gradient = evaluate(x.index_select(2, lanes))
        return torch.zeros_like(x).index_copy(2, lanes, gradient)

    def hessian(self, x: Float[Tensor, "3 atoms batch"]) -> Float[Tensor, "3 atoms 3 atoms batch"]:
        """Second derivatives in kJ/mol/nm² of positions in nm, zero where the energy is not finite.

        This is slow: three derivatives of the gradient an atom, by torch operations.
        """
        x = x.detach().requires_grad_()
        with torch.enable_grad():
            energy, _ = self.energy_and_gradient(x)
            gradient = self.differentiable_gradient(x, torch.isfinite(energy))
            rows = [torch.autograd.grad(row.sum(), x, retain_graph=True)[0] for row in gradient.flatten(0, 1)]
        return torch.stack(rows).reshape(3, self.n_atoms, *x.shape)

    @torch.no_grad()
    def energy_and_gradient(
        self, x: Float[Tensor, "3 atoms batch"]
    ) -> tuple[Float[Tensor, " batch"], Float[Tensor, "3 atoms batch"]]:
        """Energies in kJ/mol and their gradients in kJ/mol/nm, without an autograd graph.

        Raises InputError for positions of another number of atoms.
        """
        if x.shape[:2] != (3, self.n_atoms):
            raise InputError(
                f"positions of shape {tuple(x.shape)} given to an energy of {self.n_atoms} atoms; "
                f"it takes [3, {self.n_atoms}, batch] in nm"
            )
        energy, gradient = self._evaluator(x)(x)
        for term in self._evaluated:
            e, g = term.energy_and_gradient(x)
            energy += e
            gradient += g
        return finite(x, energy, gradient) if self._evaluated else (energy, gradient)

    @torch.no_grad()
    def term_energies(self, x: Float[Tensor, "3 atoms batch"]) -> dict[str, Float[Tensor, " batch"]]:
        """Energy of each force by name, kJ/mol, exactly as computed (NaN stays NaN)."""
        return {name: self._of_term(term, x)(x)[0] for name, term in self.terms.items()}

    def _of_term(self, term: Term, x: Tensor) -> Evaluator:
        if isinstance(term, EvaluatedTerm):
            return term.energy_and_gradient
        return _TORCH.evaluator(_graph_term(term), x.dtype, x.device)

    def _evaluator(self, x: Tensor) -> Evaluator:
        """The sum of the graph terms by the first backend that serves these positions."""
        key = (x.dtype, x.device)
        if key not in self._evaluators:
            self._evaluators[key] = self._built(x)
        return self._evaluators[key]

    def _built(self, x: Tensor) -> Evaluator:
        terms = [_graph_term(term) for term in self.terms.values() if not isinstance(term, EvaluatedTerm)]
        for backend in [backend for backend in self._backends if backend.serves(x)]:
            try:
                return backend.build(terms, self.n_atoms, x.dtype, x.device)
            except EvaluationError as error:
                if self.compiled is True or backend is _TORCH:
                    raise
                self._backends.remove(backend)
                warnings.warn(f"energies run uncompiled, ten times slower: {error}", stacklevel=2)
        raise InputError(
            f"positions of type {x.dtype} given to an energy; they must be floating-point numbers"
        )


def _graph_term(term: Term) -> GraphTerm:
    if isinstance(term, GraphTerm):
        return term
    raise InputError(f"{term.name}: a term of class {type(term).__name__} is not one that can be evaluated")


def _from_states(n_atoms: int, states: Sequence[dict[str, Any]], compiled: str | bool) -> Energy:
    return Energy(n_atoms, [term_from_state(state) for state in states], compiled)


def _with_unique_names(terms: Sequence[Term]) -> dict[str, Term]:
    named: dict[str, Term] = {}
    for term in terms:
        name, copy = term.name, 2
        while name in named:
            name, copy = f"{term.name} {copy}", copy + 1
        named[name] = term
    return named
