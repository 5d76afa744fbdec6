"""A molecule's potential energy: a sum of terms, evaluated for a batch of conformations at once."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from boltzgen.codegen.language import SCALARS
from boltzgen.codegen.library import can_compile, find_compiler
from boltzgen.energies.native import NativeEnergy
from boltzgen.energies.storage import read_terms, term_from_state, term_state, write_terms
from boltzgen.energies.term import NativeTerm, Term
from boltzgen.errors import EvaluationError, InputError


class Energy(torch.nn.Module):
    """Potential energy in kJ/mol of positions [3, atoms, batch] in nm.

    It computes in the precision and on the device of the positions. A conformation whose energy or gradient
    is not finite (coincident atoms, NaN or infinite positions) has energy +inf and gradient zero.
    Raises InputError for terms of other atoms than the ``n_atoms``.
    """

    def __init__(self, n_atoms: int, terms: Sequence[Term], compiled: str | bool = "auto") -> None:
        super().__init__()
        self.n_atoms = n_atoms
        for term in terms:
            if isinstance(term, NativeTerm):
                term.check_atoms(n_atoms)
        self.terms = _with_unique_names(terms)
        if compiled not in ("auto", True, False):
            raise InputError(f"compiled must be 'auto', True or False, not {compiled!r}")
        if compiled is True and find_compiler() is None:
            raise InputError(
                "no C++ compiler found (CXX, c++, g++, clang++): install one or use compiled=False"
            )
        self.compiled = compiled
        self._native: dict[torch.dtype, NativeEnergy] = {}

    def __reduce__(self) -> tuple:
        # compiled code and its memory belong to one process: a copy makes its own
        return _from_states, (self.n_atoms, [term_state(t) for t in self.terms.values()], self.compiled)

    def save(self, path: str | os.PathLike) -> None:
        """One file that ``load`` reads with torch alone: expressions and numbers, no code."""
        write_terms(path, self.n_atoms, self.terms.values())

    @classmethod
    def load(cls, path: str | os.PathLike, compiled: str | bool = "auto") -> Energy:
        """The energy saved in ``path``. Raises InputError where it is not one."""
        n_atoms, terms = read_terms(path)
        return cls(n_atoms, terms, compiled)

    def forward(self, x: Float[Tensor, "3 atoms batch"]) -> Float[Tensor, " batch"]:
        """Energies in kJ/mol; differentiable once."""
        return _EnergyFunction.apply(x, self)

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
        native = self._machine_code(x)
        if native is None:
            energy, gradient, terms = x.new_zeros(x.shape[2]), torch.zeros_like(x), list(self.terms.values())
        else:
            energy, gradient = native(x)
            terms = [term for term in self.terms.values() if not isinstance(term, NativeTerm)]
        for term in terms:
            e, g = term.energy_and_gradient(x)
            energy += e
            gradient += g
        return _finite(x, energy, gradient) if terms else (energy, gradient)

    def _machine_code(self, x: Tensor) -> NativeEnergy | None:
        """The terms as machine code for these positions; None where it cannot be had or is not wanted."""
        if x.device.type != "cpu" or x.dtype not in SCALARS or not x.shape[2] or self.compiled is False:
            return None
        if self.compiled == "auto" and not can_compile():
            return None
        if x.dtype not in self._native:
            native = [term for term in self.terms.values() if isinstance(term, NativeTerm)]
            try:
                self._native[x.dtype] = NativeEnergy(native, self.n_atoms, x.dtype)
            except EvaluationError as error:
                if self.compiled is True:
                    raise
                self.compiled = False
                warnings.warn(f"energies run uncompiled, ten times slower: {error}", stacklevel=2)
        return self._native.get(x.dtype)

    @torch.no_grad()
    def term_energies(self, x: Float[Tensor, "3 atoms batch"]) -> dict[str, Float[Tensor, " batch"]]:
        """Energy of each force by name, kJ/mol, exactly as computed (NaN stays NaN)."""
        return {name: term.energy_and_gradient(x)[0] for name, term in self.terms.items()}


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


def _finite(x: Tensor, energy: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
    sound = torch.isfinite(energy) & (torch.isfinite(gradient) & torch.isfinite(x)).all(dim=1).all(dim=0)
    if sound.all():
        return energy, gradient
    return energy.masked_fill(~sound, torch.inf), gradient.masked_fill(~sound, 0.0)


class _EnergyFunction(torch.autograd.Function):
    """Forces are computed with the energy; backward only scales them."""

    @staticmethod
    def forward(ctx, x: Tensor, energy: Energy) -> Tensor:  # type: ignore[override]
        value, gradient = energy.energy_and_gradient(x.detach())
        ctx.save_for_backward(gradient)
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx, received: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        (gradient,) = ctx.saved_tensors
        return gradient * received, None
