"""Compiled kernels as operators of torch: ``torch.ops.boltzgen.<name>``.

As operators they are understood by torch's own tools: the dispatcher, fake tensors, ``torch.compile``,
``torch.export`` and ``torch.library.opcheck``. The dispatcher takes tens of microseconds to carry the many
arguments of a layer there and back, and the autograd of ``torch.library.custom_op`` 50 more: together a tenth
of a small training step. Package code therefore calls an ``Operator``, which goes through the dispatcher
only while torch traces, and else calls the same kernel and the same gradient directly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

Outputs = tuple[Any, ...]
"""Tensors, the last of which may be a list of tensors."""

_NAMESPACE = "boltzgen"
_LIBRARY = torch.library.Library(_NAMESPACE, "FRAGMENT")


class Operator:
    """An operator that runs as machine code, on the CPU or on NVIDIA GPUs.

    Parameters
    ----------
    schema
        Name and signature, such as ``"twice(Tensor x) -> (Tensor, Tensor)"``.
    kernel
        Computes the outputs, a tuple, from real tensors. It must neither change nor return its inputs.
    fake
        Returns tensors of the outputs' shapes, types and strides without computing anything.

    Attributes
    ----------
    overload
        The operator as torch knows it.
    """

    def __init__(self, schema: str, kernel: Callable[..., Outputs], fake: Callable[..., Outputs]) -> None:
        self.schema, self._kernel = schema, kernel
        self.name = schema.partition("(")[0]
        _LIBRARY.define(schema)
        for place in ("CPU", "CUDA"):
            _LIBRARY.impl(self.name, kernel, place)
        torch.library.register_fake(f"{_NAMESPACE}::{self.name}", fake, lib=_LIBRARY)
        self.overload = getattr(getattr(torch.ops, _NAMESPACE), self.name).default
        self._differentiated: Callable[..., Outputs] = self.below_autograd

    def __call__(self, *arguments: Any) -> Outputs:
        """The outputs; arguments are positional."""
        if torch.compiler.is_compiling():
            return self.overload(*arguments)
        return self._differentiated(*arguments)

    def below_autograd(self, *arguments: Any) -> Outputs:
        """The outputs, not recorded: of the kernel, or of what stands in for it while torch traces."""
        if torch._C._len_torch_dispatch_stack() == 0:
            return self._kernel(*arguments)
        with torch._C._AutoDispatchBelowAutograd():
            return self.overload(*arguments)

    def set_gradient(
        self,
        gradient: Callable[..., Sequence[Tensor | None]],
        definition: Callable[..., tuple[Tensor, ...]],
        n_results: int,
    ) -> None:
        """Make the operator differentiable; a list of tensors may be its last argument, and its last output.

        Parameters
        ----------
        gradient
            ``gradient(arguments, intermediates, received, needed)`` returns the gradient by each argument,
            where lists are unpacked, from those received for the results; None where it is not ``needed``.
        definition
            The results by torch operations. Derivatives of the gradient go through it.
        n_results
            How many of the outputs are results. The others are intermediate numbers for the gradient.
        """
        signature, _, outputs = self.schema.partition("->")
        takes_list, n_outputs = "Tensor[]" in signature, outputs.count("Tensor")
        function = _autograd_function(self.below_autograd, gradient, definition, n_results, takes_list)

        def differentiated(*arguments: Any) -> Outputs:
            if not torch.is_grad_enabled():
                return self.below_autograd(*arguments)
            if takes_list:
                flat = function.apply(len(arguments[-1]), *arguments[:-1], *arguments[-1])
            else:
                flat = function.apply(0, *arguments)
            return (*flat[: n_outputs - 1], list(flat[n_outputs - 1 :])) if "[]" in outputs else flat

        self.set_autograd(differentiated)

    def set_autograd(self, differentiated: Callable[..., Outputs]) -> None:
        """Set what is called where autograd is at work.

        Parameters
        ----------
        differentiated
            Takes the operator's arguments and returns its outputs: usually an ``autograd.Function``, whose
            forward calls ``below_autograd``.
        """
        self._differentiated = differentiated
        _LIBRARY.impl(self.name, differentiated, "Autograd")


def _autograd_function(
    run: Callable[..., Outputs],
    gradient: Callable[..., Sequence[Tensor | None]],
    definition: Callable[..., tuple[Tensor, ...]],
    n_results: int,
    takes_list: bool,
) -> type[torch.autograd.Function]:
    """Function of the length of the list and of flat arguments, with flat outputs."""

    def packed(flat: Sequence[Any], n_list: int) -> Sequence[Any]:
        return [*flat[: len(flat) - n_list], list(flat[len(flat) - n_list :])] if takes_list else flat

    class Function(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, n_list: int, *flat: Any) -> tuple[Tensor, ...]:
            outputs = run(*packed(flat, n_list))
            if isinstance(outputs[-1], list):
                outputs = (*outputs[:-1], *outputs[-1])
            intermediates = outputs[n_results:]
            ctx.mark_non_differentiable(*intermediates)
            ctx.set_materialize_grads(False)
            ctx.save_for_backward(*[a for a in flat if isinstance(a, Tensor)], *intermediates)
            ctx.plain = [None if isinstance(a, Tensor) else (a,) for a in flat]
            ctx.n_list = n_list
            return outputs

        @staticmethod
        def backward(ctx: Any, *received: Tensor | None) -> tuple[Tensor | None, ...]:
            saved = iter(ctx.saved_tensors)
            flat = [next(saved) if plain is None else plain[0] for plain in ctx.plain]
            needed, received = ctx.needs_input_grad[1:], received[:n_results]
            if torch.is_grad_enabled():  # create_graph=True
                arguments = packed(flat, ctx.n_list)
                return None, *_by_definition(definition, flat, arguments, needed, received)
            return None, *gradient(flat, list(saved), received, needed)

    return Function


def _by_definition(
    definition: Callable[..., tuple[Tensor, ...]],
    flat: Sequence[Any],
    arguments: Sequence[Any],
    needed: Sequence[bool],
    received: Sequence[Tensor | None],
) -> list[Tensor | None]:
    """Gradients that can be differentiated again."""
    sources = [a for a, need in zip(flat, needed, strict=True) if need]
    results = zip(definition(*arguments), received, strict=True)
    outputs = [(result, by) for result, by in results if by is not None and result.requires_grad]
    if not outputs:
        return [None] * len(needed)
    gradients = iter(
        torch.autograd.grad(
            [result for result, _ in outputs],
            sources,
            [by for _, by in outputs],
            create_graph=True,
            allow_unused=True,
        )
    )
    return [next(gradients) if need else None for need in needed]
