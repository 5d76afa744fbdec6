"""The layers as operators of torch that run as machine code, and where these are chosen.

Layers call ``spline``, ``affine`` and ``coupling``. Where machine code serves the tensors, these call an
operator, ``torch.ops.boltzgen.spline`` and so on, with an analytic backward that is an operator as well; else
they compute the definition in ``transforms`` by torch operations. A spline of a few thousand numbers is a
hundred torch operations that cost more than their arithmetic; as machine code it is one call, and one more
for all gradients. Second derivatives go through the definition in either case.

States enter and leave as [batch, rows] with the batch contiguous in memory: between layers nothing is copied.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from boltzgen.codegen.cpp_prelude import SCALARS
from boltzgen.codegen.torch_operators import Operator, Outputs
from boltzgen.flows import shapes, transforms
from boltzgen.flows.cpp import kernels as cpp_kernels
from boltzgen.flows.cuda import kernels as cuda_kernels

_Received = tuple[Tensor | None, Tensor | None]


def _kernels(device: torch.device) -> ModuleType:
    """The layers' machine code for this device."""
    return cpp_kernels if device.type == "cpu" else cuda_kernels


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _available(dtype: torch.dtype, device: torch.device) -> bool:
    return _kernels(device).available(dtype, device)


def _rows(state: Tensor) -> Tensor:
    """The state as contiguous [rows, batch]."""
    return state.t().contiguous()


def _row_gradients(by_state: Tensor) -> Tensor:
    """The same of a gradient, as a copy that may be changed in place."""
    return by_state.t().clone(memory_format=torch.contiguous_format)


def _serves(states: Sequence[tuple[Tensor, int]], *others: Tensor) -> bool:
    """Whether machine code takes these tensors; if not, torch computes, or says what is wrong with them.

    Machine code trusts shapes: each state comes with the fewest columns that the layer indexes.
    """
    first = states[0][0]
    dtype, batch = first.dtype, first.shape[:1]
    return (
        dtype in SCALARS
        and all(s.ndim == 2 and s.shape[:1] == batch and s.shape[1] >= least for s, least in states)
        and all(t.device == first.device and t.dtype == dtype for t in (*(s for s, _ in states), *others))
        and _available(dtype, first.device)
    )


def _zeros_for_none(received: _Received, state: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients by the state that a layer returns and by its log-determinant."""
    by_state, by_log_det = received
    return (
        torch.zeros_like(state) if by_state is None else by_state,
        state.new_zeros(len(state)) if by_log_det is None else by_log_det,
    )


_SPLINE = "spline(Tensor state, Tensor raw, Tensor moved, float bound, bool periodic, bool inverse)"
_SPLINE += " -> (Tensor, Tensor)"
_AFFINE = "affine(Tensor state, Tensor raw, Tensor moved, bool inverse) -> (Tensor, Tensor)"
_COUPLING = (
    "coupling(Tensor torsions, Tensor stiff, Tensor moved, Tensor kept, Tensor folded, Tensor fold, "
    "Tensor kept_stiff, bool periodic, bool inverse, Tensor bias, Tensor last, Tensor[] network) "
    "-> (Tensor, Tensor, Tensor, Tensor, Tensor[])"
)


def _spline_kernel(
    state: Tensor, raw: Tensor, moved: Tensor, bound: float, periodic: bool, inverse: bool
) -> Outputs:
    kernels = _kernels(state.device)
    result, log_det = kernels.spline(_rows(state), raw.contiguous(), moved, bound, periodic, inverse)
    return result.t(), log_det


def _spline_backward(
    by_result: Tensor,
    by_log_det: Tensor,
    state: Tensor,
    raw: Tensor,
    moved: Tensor,
    bound: float,
    periodic: bool,
    inverse: bool,
    learns: bool,
) -> Outputs:
    kernels = _kernels(state.device)
    by_state = _row_gradients(by_result)
    state, raw = _rows(state), raw.contiguous()
    settings = (bound, periodic, inverse, learns)
    by_raw = kernels.spline_gradient(by_state, by_log_det.contiguous(), state, raw, moved, *settings)
    return by_state.t(), by_raw


def _affine_kernel(state: Tensor, raw: Tensor, moved: Tensor, inverse: bool) -> Outputs:
    kernels = _kernels(state.device)
    result, log_det = kernels.affine(_rows(state), raw.contiguous(), moved, inverse)
    return result.t(), log_det


def _affine_backward(
    by_result: Tensor,
    by_log_det: Tensor,
    state: Tensor,
    raw: Tensor,
    moved: Tensor,
    inverse: bool,
    learns: bool,
) -> Outputs:
    kernels = _kernels(state.device)
    by_state = _row_gradients(by_result)
    state, raw = _rows(state), raw.contiguous()
    by_raw = kernels.affine_gradient(by_state, by_log_det.contiguous(), state, raw, moved, inverse, learns)
    return by_state.t(), by_raw


def _coupling_kernel(
    torsions: Tensor,
    stiff: Tensor,
    moved: Tensor,
    kept: Tensor,
    folded: Tensor,
    fold: Tensor,
    kept_stiff: Tensor,
    periodic: bool,
    inverse: bool,
    bias: Tensor,
    last: Tensor,
    network: list[Tensor],
) -> Outputs:
    kernels = _kernels(torsions.device)
    torsions, stiff = _rows(torsions), _rows(stiff)
    made = kernels.features(torsions, stiff, kept, folded, fold, kept_stiff)
    raw, inside = kernels.perceptron(made, network, last, bias)
    if periodic:
        shaped = transforms.by_column(raw, moved)
        result, log_det = kernels.spline(torsions, shaped, moved, math.pi, True, inverse)
    else:
        result, log_det = kernels.affine(stiff, raw, moved, inverse)
    return result.t(), log_det, raw, made, inside


def _coupling_backward(
    by_result: Tensor,
    by_log_det: Tensor,
    torsions: Tensor,
    stiff: Tensor,
    moved: Tensor,
    kept: Tensor,
    folded: Tensor,
    fold: Tensor,
    kept_stiff: Tensor,
    periodic: bool,
    inverse: bool,
    learns: bool,
    last: Tensor,
    raw: Tensor,
    made: Tensor,
    weights: list[Tensor],
    inside: list[Tensor],
) -> Outputs:
    kernels = _kernels(torsions.device)
    torsions, stiff = _rows(torsions), _rows(stiff)
    by_moved, by_log_det = _row_gradients(by_result), by_log_det.contiguous()
    if periodic:
        shaped = transforms.by_column(raw, moved)
        by_raw = kernels.spline_gradient(
            by_moved, by_log_det, torsions, shaped, moved, math.pi, True, inverse, True
        ).view_as(raw)
        by_torsions, by_stiff = by_moved, torch.zeros_like(stiff)
    else:
        by_raw = kernels.affine_gradient(by_moved, by_log_det, stiff, raw, moved, inverse, True)
        by_torsions, by_stiff = torch.zeros_like(torsions), by_moved
    by_made, *by_parameters = kernels.perceptron_gradient(by_raw, made, inside, weights, last, learns)
    kernels.features_gradient(by_made, made, torsions, by_torsions, by_stiff, kept, folded, fold, kept_stiff)
    return by_torsions.t(), by_stiff.t(), *by_parameters


_spline = Operator(_SPLINE, _spline_kernel, shapes.layer)
_spline_gradient = Operator(
    "spline_backward(Tensor by_result, Tensor by_log_det, Tensor state, Tensor raw, Tensor moved, "
    "float bound, bool periodic, bool inverse, bool learns) -> (Tensor, Tensor)",
    _spline_backward,
    shapes.layer_backward,
)
_affine = Operator(_AFFINE, _affine_kernel, shapes.layer)
_affine_gradient = Operator(
    "affine_backward(Tensor by_result, Tensor by_log_det, Tensor state, Tensor raw, Tensor moved, "
    "bool inverse, bool learns) -> (Tensor, Tensor)",
    _affine_backward,
    shapes.layer_backward,
)
_coupling = Operator(_COUPLING, _coupling_kernel, shapes.coupling)
_coupling_gradient = Operator(
    "coupling_backward(Tensor by_result, Tensor by_log_det, Tensor torsions, Tensor stiff, Tensor moved, "
    "Tensor kept, Tensor folded, Tensor fold, Tensor kept_stiff, bool periodic, bool inverse, bool learns, "
    "Tensor last, Tensor raw, Tensor made, Tensor[] weights, Tensor[] inside) "
    "-> (Tensor, Tensor, Tensor, Tensor, Tensor[])",
    _coupling_backward,
    shapes.coupling_backward,
)


def _gradient_of_spline(
    arguments: Sequence[Any], _: object, received: _Received, needed: Sequence[bool]
) -> list[Tensor | None]:
    state, raw, moved, *settings = arguments
    by_state, by_raw = _spline_gradient(
        *_zeros_for_none(received, state), state, raw, moved, *settings, needed[1]
    )
    return [by_state, by_raw if needed[1] else None, None, None, None, None]


def _gradient_of_affine(
    arguments: Sequence[Any], _: object, received: _Received, needed: Sequence[bool]
) -> list[Tensor | None]:
    state, raw, moved, inverse = arguments
    by_state, by_raw = _affine_gradient(
        *_zeros_for_none(received, state), state, raw, moved, inverse, needed[1]
    )
    return [by_state, by_raw if needed[1] else None, None, None]


def _gradient_of_coupling(
    arguments: Sequence[Any], intermediates: Sequence[Tensor], received: _Received, needed: Sequence[bool]
) -> list[Tensor | None]:
    torsions, stiff, *indices = arguments[:7]
    periodic, inverse, _, last, *network = arguments[7:]
    raw, made, *inside = intermediates
    learns = any(needed[9:])
    by_torsions, by_stiff, *by_parameters, by_network = _coupling_gradient(
        *_zeros_for_none(received, torsions if periodic else stiff),
        torsions,
        stiff,
        *indices,
        periodic,
        inverse,
        learns,
        last,
        raw,
        made,
        network[::2],
        inside,
    )
    if not learns:
        by_parameters, by_network = [None, None], [None] * len(network)
    return [by_torsions, by_stiff, *[None] * 7, *by_parameters, *by_network]


_spline.set_gradient(_gradient_of_spline, transforms.spline, n_results=2)
_affine.set_gradient(_gradient_of_affine, transforms.affine, n_results=2)
_coupling.set_gradient(_gradient_of_coupling, transforms.coupling, n_results=2)


def spline(
    state: Tensor, raw: Tensor, moved: Tensor, bound: float, periodic: bool, inverse: bool, least: int
) -> tuple[Tensor, Tensor]:
    """Compute ``transforms.spline`` by machine code where that serves the arguments, else by torch.

    Parameters
    ----------
    state, raw, moved, bound, periodic, inverse
        Arguments of ``transforms.spline``.
    least
        Number of columns that the state must have for machine code.

    Returns
    -------
    state, log_det
        As ``transforms.spline`` returns them.
    """
    chosen = _spline if _serves([(state, least)], raw) else transforms.spline
    return chosen(state, raw, moved, bound, periodic, inverse)


def affine(state: Tensor, raw: Tensor, moved: Tensor, inverse: bool, least: int) -> tuple[Tensor, Tensor]:
    """Compute ``transforms.affine`` by machine code where that serves the arguments, else by torch.

    Parameters
    ----------
    state, raw, moved, inverse
        Arguments of ``transforms.affine``.
    least
        Number of columns that the state must have for machine code.

    Returns
    -------
    state, log_det
        As ``transforms.affine`` returns them.
    """
    chosen = _affine if _serves([(state, least)], raw) else transforms.affine
    return chosen(state, raw, moved, inverse)


def coupling(
    torsions: Tensor, stiff: Tensor, *arguments: Any, least: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Compute ``transforms.coupling`` by machine code where that serves the arguments, else by torch.

    Parameters
    ----------
    torsions, stiff, *arguments
        Arguments of ``transforms.coupling``.
    least
        Numbers of columns that the two states must have for machine code.

    Returns
    -------
    state, log_det
        As ``transforms.coupling`` returns them.
    """
    served = _serves([(torsions, least[0]), (stiff, least[1])], arguments[7])
    return (
        _coupling(torsions, stiff, *arguments)[:2]
        if served
        else transforms.coupling(torsions, stiff, *arguments)
    )
