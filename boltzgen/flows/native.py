"""The flow's layers as machine code on the CPU, each with an analytic backward.

They compute what ``couplings.py`` defines with torch, where a spline of a few thousand numbers is a hundred
operations that cost more than their arithmetic: here it is one call, and one more for all its gradients.
Inside, the batch is last. States enter and leave as [batch, rows] with that order in memory: between layers
nothing is copied.
"""

from __future__ import annotations

import ctypes
import warnings
from collections.abc import Callable
from functools import cache, wraps

import torch
from torch import Tensor

from boltzgen.codegen.cpp_prelude import SCALARS
from boltzgen.codegen.library import can_compile, load_libraries
from boltzgen.errors import EvaluationError
from boltzgen.flows.conditioners import Conditioner, TorsionFeatures
from boltzgen.flows.layer_code import layer_source
from boltzgen.flows.product_code import product_source
from boltzgen.flows.products import product
from boltzgen.flows.spline_code import spline_source

_N, _P = ctypes.c_int64, ctypes.c_void_p
_ARGUMENTS = {
    "spline": [_N, _N, _N, ctypes.c_double, ctypes.c_int, *5 * [_P]],
    "spline_gradient": [_N, _N, _N, ctypes.c_double, ctypes.c_int, *6 * [_P]],
    "features": [_N, _N, _N, _N, *7 * [_P]],
    "features_gradient": [_N, _N, _N, _N, *9 * [_P]],
    "activate": [_N, _N, *4 * [_P]],
    "activate_gradient": [_N, _N, *4 * [_P]],
    "affine": [_N, _N, _N, ctypes.c_int, *5 * [_P]],
    "affine_gradient": [_N, _N, _N, ctypes.c_int, *6 * [_P]],
}


def _bound(source: str, *names: str) -> ctypes.CDLL:
    (library,) = load_libraries([source])
    for name in names:
        function = getattr(library, name)
        function.argtypes, function.restype = _ARGUMENTS[name], None
    return library


@cache
def _splines(dtype: torch.dtype, bins: int, periodic: bool) -> ctypes.CDLL:
    return _bound(spline_source(dtype, bins, periodic), "spline", "spline_gradient")


@cache
def _layers(dtype: torch.dtype) -> ctypes.CDLL:
    return _bound(layer_source(dtype), *(name for name in _ARGUMENTS if "spline" not in name))


@cache
def _available(dtype: torch.dtype) -> bool:
    if not can_compile():
        return False
    try:
        load_libraries([layer_source(dtype), product_source(dtype)])  # side by side
    except EvaluationError as error:
        warnings.warn(f"flows run uncompiled, several times slower: {error}", stacklevel=2)
        return False
    return True


def serves(torsions: Tensor, stiff: Tensor, parameter: Tensor, n_torsions: int, n_stiff: int) -> bool:
    """Whether a layer can run as machine code on such tensors; if not, torch computes, or says what is wrong.

    Machine code trusts shapes: ``n_torsions`` and ``n_stiff`` are the fewest columns that the layer indexes.
    """
    return (
        stiff.device.type == torsions.device.type == parameter.device.type == "cpu"
        and stiff.dtype == torsions.dtype == parameter.dtype
        and stiff.dtype in SCALARS
        and stiff.ndim == torsions.ndim == 2
        and len(stiff) == len(torsions)
        and torsions.shape[1] >= n_torsions
        and stiff.shape[1] >= n_stiff
        and _available(stiff.dtype)
    )


def _first_derivative(backward: Callable) -> Callable:
    """A backward without derivatives of its own, which says so where they are asked for."""

    @wraps(backward)
    def checked(ctx, *gradients: Tensor):
        if torch.is_grad_enabled():  # create_graph=True
            raise EvaluationError(
                "compiled layers have first derivatives only: set BOLTZGEN_COMPILE=0 for second ones"
            )
        return backward(ctx, *gradients)

    return checked


def _rows(state: Tensor) -> Tensor:
    return state.t().contiguous()


def _row_gradients(by_state: Tensor) -> Tensor:
    """A copy to be changed in place."""
    return by_state.t().clone(memory_format=torch.contiguous_format)


class _Spline(torch.autograd.Function):
    @staticmethod
    def forward(ctx, state, raw, moved, bound, periodic, inverse):  # type: ignore[override]
        state, raw = _rows(state), raw.contiguous()
        bins = len(raw) // 3 if periodic else (len(raw) + 1) // 3
        ctx.library = _splines(state.dtype, bins, periodic)
        ctx.sizes = (len(moved), state.shape[1], raw.shape[2], bound, inverse, moved.data_ptr())
        ctx.save_for_backward(state, raw, moved)
        result, log_det = state.clone(), state.new_zeros(state.shape[1])
        ctx.library.spline(
            *ctx.sizes, state.data_ptr(), raw.data_ptr(), result.data_ptr(), log_det.data_ptr()
        )
        return result.t(), log_det

    @staticmethod
    @_first_derivative
    def backward(ctx, by_result, by_log_det):  # type: ignore[override]
        state, raw, _ = ctx.saved_tensors
        by_state = _row_gradients(by_result)
        by_log_det = by_log_det.contiguous()
        by_raw = torch.zeros_like(raw) if ctx.needs_input_grad[1] else None
        ctx.library.spline_gradient(
            *ctx.sizes,
            state.data_ptr(),
            raw.data_ptr(),
            by_log_det.data_ptr(),
            by_state.data_ptr(),
            None if by_raw is None else by_raw.data_ptr(),
        )
        return by_state.t(), by_raw, None, None, None, None


class _Affine(torch.autograd.Function):
    @staticmethod
    def forward(ctx, state, raw, moved, inverse):  # type: ignore[override]
        state, raw = _rows(state), raw.contiguous()
        ctx.library = _layers(state.dtype)
        ctx.sizes = (len(moved), state.shape[1], raw.shape[1], inverse, moved.data_ptr())
        ctx.save_for_backward(state, raw, moved)
        result, log_det = state.clone(), state.new_zeros(state.shape[1])
        ctx.library.affine(
            *ctx.sizes, state.data_ptr(), raw.data_ptr(), result.data_ptr(), log_det.data_ptr()
        )
        return result.t(), log_det

    @staticmethod
    @_first_derivative
    def backward(ctx, by_result, by_log_det):  # type: ignore[override]
        state, raw, _ = ctx.saved_tensors
        by_state = _row_gradients(by_result)
        by_log_det = by_log_det.contiguous()
        by_raw = torch.zeros_like(raw) if ctx.needs_input_grad[1] else None
        ctx.library.affine_gradient(
            *ctx.sizes,
            state.data_ptr(),
            raw.data_ptr(),
            by_log_det.data_ptr(),
            by_state.data_ptr(),
            None if by_raw is None else by_raw.data_ptr(),
        )
        return by_state.t(), by_raw, None, None


class _Conditioned(torch.autograd.Function):
    """Features, perceptron. Weight gradients, sums over the batch, are torch's products."""

    @staticmethod
    def forward(ctx, torsions, stiff, kept, folded, fold, kept_stiff, bias, last, *network):  # type: ignore[override]
        torsions, stiff = _rows(torsions), _rows(stiff)
        batch = torsions.shape[1]
        library = _layers(stiff.dtype)
        ctx.counts = (len(kept), len(folded), len(kept_stiff), batch)
        ctx.indices = (kept, folded, fold, kept_stiff)
        made = stiff.new_empty(2 * len(kept) + len(folded) + len(kept_stiff), batch)
        library.features(
            *ctx.counts,
            *(index.data_ptr() for index in ctx.indices),
            torsions.data_ptr(),
            stiff.data_ptr(),
            made.data_ptr(),
        )
        layers, inside = [made], []
        for depth, (weight, offset) in enumerate(zip(network[::2], network[1::2], strict=True)):
            z = product(weight, layers[-1])
            hidden = torch.empty_like(z)
            library.activate(
                len(z),
                batch,
                offset.data_ptr(),
                layers[-1].data_ptr() if depth else None,
                z.data_ptr(),
                hidden.data_ptr(),
            )
            layers.append(hidden)
            inside.append(z)
        ctx.save_for_backward(torsions, stiff, last, *network[::2], *layers, *inside)
        return product(last, layers[-1], bias)

    @staticmethod
    @_first_derivative
    def backward(ctx, by_raw):  # type: ignore[override]
        torsions, stiff, last, *rest = ctx.saved_tensors
        depth = (len(rest) - 1) // 3
        weights, layers, inside = rest[:depth], rest[depth : 2 * depth + 1], rest[2 * depth + 1 :]
        library = _layers(stiff.dtype)
        batch = torsions.shape[1]
        by_raw = by_raw.contiguous()
        learns = any(ctx.needs_input_grad[6:])
        by_bias = by_raw.sum(1) if learns else None
        by_last = by_raw @ layers[-1].t() if learns else None
        by_network: list[Tensor | None] = []
        by_hidden = product(last.t(), by_raw)
        for index in reversed(range(depth)):
            z = inside[index]
            by_z, by_offset = torch.empty_like(z), z.new_empty(len(z))
            library.activate_gradient(
                len(z), batch, z.data_ptr(), by_hidden.data_ptr(), by_z.data_ptr(), by_offset.data_ptr()
            )
            by_network = [by_z @ layers[index].t() if learns else None, by_offset, *by_network]
            through = weights[index].t()
            by_hidden = product(through, by_z, added=by_hidden if index else None)
        by_torsions, by_stiff = torch.zeros_like(torsions), torch.zeros_like(stiff)
        library.features_gradient(
            *ctx.counts,
            *(index.data_ptr() for index in ctx.indices),
            torsions.data_ptr(),
            layers[0].data_ptr(),
            by_hidden.data_ptr(),
            by_torsions.data_ptr(),
            by_stiff.data_ptr(),
        )
        return by_torsions.t(), by_stiff.t(), None, None, None, None, by_bias, by_last, *by_network


def spline(
    state: Tensor, raw: Tensor, moved: Tensor, bound: float, periodic: bool, inverse: bool
) -> tuple[Tensor, Tensor]:
    """Splines on rows ``moved`` of ``state`` [batch, rows]; ``raw`` [parameters, moved, batch or 1]."""
    return _Spline.apply(state, raw, moved, bound, periodic, inverse)


def affine(state: Tensor, raw: Tensor, moved: Tensor, inverse: bool) -> tuple[Tensor, Tensor]:
    """Affine maps of rows ``moved``; ``raw`` [2 moved, batch or 1]: shifts, then unbounded log scales."""
    return _Affine.apply(state, raw, moved, inverse)


def conditioned(
    conditioner: Conditioner,
    features: TorsionFeatures,
    kept: Tensor,
    kept_stiff: Tensor,
    torsions: Tensor,
    stiff: Tensor,
) -> Tensor:
    """Outputs [outputs, batch] of a conditioner that sees features of kept torsions, and kept stiff ones."""
    network = [p for layer in (conditioner.first, *conditioner.blocks) for p in (layer.weight, layer.bias)]
    indices = kept, features.folded, features.fold, kept_stiff
    return _Conditioned.apply(torsions, stiff, *indices, conditioner.bias, conditioner.last.weight, *network)
