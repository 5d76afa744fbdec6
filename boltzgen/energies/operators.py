"""The energy as an operator of torch: ``torch.ops.boltzgen.energy``.

An operator's arguments are tensors, numbers and strings, so that it is told which ``Energy`` is meant by a
handle: a random string, which no other energy of this or of another process has. Handles do not keep energies
alive, and copies of an energy have handles of their own. A graph that torch compiled or exported holds
handles: it works as long as these energies do, in the process that made it and in its forked children.
"""

from __future__ import annotations

import secrets
from typing import Any, Protocol
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from boltzgen.codegen.torch_operators import Operator, Outputs
from boltzgen.errors import EvaluationError


class WithGradient(Protocol):
    """What the operator asks of an energy; see ``Energy`` for the shapes and units."""

    def energy_and_gradient(self, x: Tensor) -> Outputs: ...

    def differentiable_gradient(self, x: Tensor, sound: Tensor) -> Tensor: ...


_energies: WeakValueDictionary[str, WithGradient] = WeakValueDictionary()


def new_handle(of: WithGradient) -> str:
    """A handle for this energy."""
    handle = secrets.token_hex(8)
    _energies[handle] = of
    return handle


def _energy_of(handle: str) -> WithGradient:
    try:
        return _energies[handle]
    except KeyError:
        raise EvaluationError(
            "the energy that this operator was traced with is gone or belongs to another process: "
            "keep the Energy as long as the graph is used, or trace it again"
        ) from None


def _kernel(x: Tensor, handle: str) -> Outputs:
    return _energy_of(handle).energy_and_gradient(x)


def _fake(x: Tensor, handle: str) -> Outputs:
    return x.new_empty(x.shape[2]), x.new_empty(x.shape)


energy = Operator("energy(Tensor x, str handle) -> (Tensor, Tensor)", _kernel, _fake)
"""``energy(x, handle)``: energies [batch] and gradients [3, atoms, batch] of positions in nm; autograd
differentiates the former."""


class _Differentiated(torch.autograd.Function):
    """Forces are computed with the energy; backward scales them."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, handle: str) -> Outputs:
        value, gradient = energy.below_autograd(x, handle)
        ctx.mark_non_differentiable(gradient)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, value, gradient)
        ctx.handle = handle
        return value, gradient

    @staticmethod
    def backward(ctx: Any, by_value: Tensor | None, _: object) -> tuple[Tensor | None, None]:
        if by_value is None:
            return None, None
        x, value, gradient = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph=True
            gradient = _energy_of(ctx.handle).differentiable_gradient(x, torch.isfinite(value))
        return gradient * by_value, None


def _differentiated(x: Tensor, handle: str) -> Outputs:
    recorded = torch.is_grad_enabled() and x.requires_grad
    return _Differentiated.apply(x, handle) if recorded else energy.below_autograd(x, handle)


energy.set_autograd(_differentiated)
