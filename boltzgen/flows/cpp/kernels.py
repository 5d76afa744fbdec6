"""Calls of the layers' machine code on tensors.

These functions trust shapes, types and devices, which ``boltzgen.flows.operators`` checks. Tensors are
contiguous with the batch last, [rows, batch].
"""

from __future__ import annotations

import ctypes
import warnings
from functools import cache

import torch
from torch import Tensor

from boltzgen.codegen.library import can_compile, load_libraries
from boltzgen.errors import EvaluationError
from boltzgen.flows.cpp.layer_source import layer_source
from boltzgen.flows.cpp.product_source import product_source
from boltzgen.flows.cpp.products import product
from boltzgen.flows.cpp.spline_source import spline_source

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
def available(dtype: torch.dtype, device: torch.device) -> bool:
    """Whether the layers' machine code can be had in this precision; a failed compilation is said once."""
    if device.type != "cpu" or not can_compile():
        return False
    try:
        load_libraries([layer_source(dtype), product_source(dtype)])  # side by side
    except EvaluationError as error:
        warnings.warn(f"flows run uncompiled, several times slower: {error}", stacklevel=2)
        return False
    return True


def _bins(raw: Tensor, periodic: bool) -> int:
    return len(raw) // 3 if periodic else (len(raw) + 1) // 3


def spline(
    state: Tensor, raw: Tensor, moved: Tensor, bound: float, periodic: bool, inverse: bool
) -> tuple[Tensor, Tensor]:
    """``transforms.spline`` of rows [rows, batch]."""
    result, log_det = state.clone(), state.new_zeros(state.shape[1])
    _splines(state.dtype, _bins(raw, periodic), periodic).spline(
        len(moved),
        state.shape[1],
        raw.shape[2],
        bound,
        inverse,
        moved.data_ptr(),
        state.data_ptr(),
        raw.data_ptr(),
        result.data_ptr(),
        log_det.data_ptr(),
    )
    return result, log_det


def spline_gradient(
    by_state: Tensor,
    by_log_det: Tensor,
    state: Tensor,
    raw: Tensor,
    moved: Tensor,
    bound: float,
    periodic: bool,
    inverse: bool,
    learns: bool,
) -> Tensor:
    """Turn ``by_state`` from the gradient by the result into that by the state; return that by ``raw``.

    The latter is empty where nothing ``learns``.
    """
    by_raw = torch.zeros_like(raw) if learns else raw.new_empty(0)
    _splines(state.dtype, _bins(raw, periodic), periodic).spline_gradient(
        len(moved),
        state.shape[1],
        raw.shape[2],
        bound,
        inverse,
        moved.data_ptr(),
        state.data_ptr(),
        raw.data_ptr(),
        by_log_det.data_ptr(),
        by_state.data_ptr(),
        by_raw.data_ptr() if learns else None,
    )
    return by_raw


def affine(state: Tensor, raw: Tensor, moved: Tensor, inverse: bool) -> tuple[Tensor, Tensor]:
    """``transforms.affine`` of rows [rows, batch]."""
    result, log_det = state.clone(), state.new_zeros(state.shape[1])
    _layers(state.dtype).affine(
        len(moved),
        state.shape[1],
        raw.shape[1],
        inverse,
        moved.data_ptr(),
        state.data_ptr(),
        raw.data_ptr(),
        result.data_ptr(),
        log_det.data_ptr(),
    )
    return result, log_det


def affine_gradient(
    by_state: Tensor,
    by_log_det: Tensor,
    state: Tensor,
    raw: Tensor,
    moved: Tensor,
    inverse: bool,
    learns: bool,
) -> Tensor:
    """As ``spline_gradient``."""
    by_raw = torch.zeros_like(raw) if learns else raw.new_empty(0)
    _layers(state.dtype).affine_gradient(
        len(moved),
        state.shape[1],
        raw.shape[1],
        inverse,
        moved.data_ptr(),
        state.data_ptr(),
        raw.data_ptr(),
        by_log_det.data_ptr(),
        by_state.data_ptr(),
        by_raw.data_ptr() if learns else None,
    )
    return by_raw


def features(
    torsions: Tensor, stiff: Tensor, kept: Tensor, folded: Tensor, fold: Tensor, kept_stiff: Tensor
) -> Tensor:
    """``transforms.torsion_features`` of rows [rows, batch], then the kept stiff rows."""
    batch = torsions.shape[1]
    made = stiff.new_empty(2 * len(kept) + len(folded) + len(kept_stiff), batch)
    _layers(stiff.dtype).features(
        len(kept),
        len(folded),
        len(kept_stiff),
        batch,
        kept.data_ptr(),
        folded.data_ptr(),
        fold.data_ptr(),
        kept_stiff.data_ptr(),
        torsions.data_ptr(),
        stiff.data_ptr(),
        made.data_ptr(),
    )
    return made


def features_gradient(
    by_features: Tensor,
    made: Tensor,
    torsions: Tensor,
    by_torsions: Tensor,
    by_stiff: Tensor,
    kept: Tensor,
    folded: Tensor,
    fold: Tensor,
    kept_stiff: Tensor,
) -> None:
    """Add to ``by_torsions`` and ``by_stiff`` what comes through the features."""
    _layers(torsions.dtype).features_gradient(
        len(kept),
        len(folded),
        len(kept_stiff),
        torsions.shape[1],
        kept.data_ptr(),
        folded.data_ptr(),
        fold.data_ptr(),
        kept_stiff.data_ptr(),
        torsions.data_ptr(),
        made.data_ptr(),
        by_features.data_ptr(),
        by_torsions.data_ptr(),
        by_stiff.data_ptr(),
    )


def perceptron(
    made: Tensor, network: list[Tensor], last: Tensor, bias: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """``transforms.perceptron`` of features [inputs, batch]; and what the gradient needs.

    The latter are each hidden layer's units before and after their activation.
    """
    library, batch = _layers(made.dtype), made.shape[1]
    before, inside = made, []
    for depth, (weight, offset) in enumerate(zip(network[::2], network[1::2], strict=True)):
        z = product(weight, before)
        hidden = torch.empty_like(z)
        library.activate(
            len(z),
            batch,
            offset.data_ptr(),
            before.data_ptr() if depth else None,
            z.data_ptr(),
            hidden.data_ptr(),
        )
        inside += [z, hidden]
        before = hidden
    return product(last, before, bias), inside


def perceptron_gradient(
    by_raw: Tensor, made: Tensor, inside: list[Tensor], weights: list[Tensor], last: Tensor, learns: bool
) -> tuple[Tensor, Tensor, Tensor, list[Tensor]]:
    """Gradients by features, bias, last weight and network; empty where nothing ``learns``, but the first.

    Gradients by weights are sums over the batch, which are torch's products.
    """
    library, batch = _layers(made.dtype), made.shape[1]
    empty = made.new_empty(0)
    by_network: list[Tensor] = []
    by_hidden = product(last.t(), by_raw)
    for index in reversed(range(len(weights))):
        z, entering = inside[2 * index], inside[2 * index - 1] if index else made
        by_z, by_offset = torch.empty_like(z), z.new_empty(len(z))
        library.activate_gradient(
            len(z), batch, z.data_ptr(), by_hidden.data_ptr(), by_z.data_ptr(), by_offset.data_ptr()
        )
        if learns:
            by_network = [by_z @ entering.t(), by_offset, *by_network]
        by_hidden = product(weights[index].t(), by_z, added=by_hidden if index else None)
    by_bias = by_raw.sum(1) if learns else empty
    by_last = by_raw @ inside[-1].t() if learns else empty
    return by_hidden, by_bias, by_last, by_network
