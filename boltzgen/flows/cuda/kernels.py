"""Calls of the layers' CUDA kernels on tensors: the same functions as ``boltzgen.flows.cpp.kernels`` has.

These functions trust shapes, types and devices, which ``boltzgen.flows.operators`` checks. Tensors are
contiguous with the batch last, [rows, batch]. Matrix products are torch's.
"""

from __future__ import annotations

import ctypes
import warnings
from functools import cache

import torch
from torch import Tensor

from boltzgen.codegen.cuda_module import Argument, Module, load_module
from boltzgen.codegen.nvrtc import can_compile_cuda
from boltzgen.errors import EvaluationError
from boltzgen.flows.cuda.layer_source import layer_source
from boltzgen.flows.cuda.spline_source import spline_source

_THREADS = 128  # of a block
_NULL = ctypes.c_void_p(None)


@cache
def _splines(dtype: torch.dtype, device: torch.device, bins: int, periodic: bool) -> Module:
    return load_module(spline_source(dtype, bins, periodic), device)


@cache
def _layers(dtype: torch.dtype, device: torch.device) -> Module:
    return load_module(layer_source(dtype), device)


@cache
def available(dtype: torch.dtype, device: torch.device) -> bool:
    """Whether the layers' machine code can be had; a failed compilation is said once."""
    if device.type != "cuda" or torch.version.hip is not None or not can_compile_cuda():
        return False
    try:
        _layers(dtype, device)
    except EvaluationError as error:
        warnings.warn(f"flows run uncompiled on {device}, several times slower: {error}", stacklevel=2)
        return False
    return True


def _launch(module: Module, name: str, threads: int, *arguments: Argument) -> None:
    """A thread for each of ``threads`` numbers; integers are 64 bits wide, truth values 32."""
    if threads == 0:
        return
    wide = [ctypes.c_int64(a) if isinstance(a, int) and not isinstance(a, bool) else a for a in arguments]
    module.launch(name, -(-threads // _THREADS), (_THREADS, 1), 0, wide)


def _bins(raw: Tensor, periodic: bool) -> int:
    return len(raw) // 3 if periodic else (len(raw) + 1) // 3


def spline(
    state: Tensor, raw: Tensor, moved: Tensor, bound: float, periodic: bool, inverse: bool
) -> tuple[Tensor, Tensor]:
    """``transforms.spline`` of rows [rows, batch]."""
    rows, batch = len(moved), state.shape[1]
    result, log_slopes = state.clone(), state.new_empty(rows, batch)
    module = _splines(state.dtype, state.device, _bins(raw, periodic), periodic)
    shape = (rows, batch, raw.shape[2])
    _launch(module, "spline", rows * batch, *shape, bound, inverse, moved, state, raw, result, log_slopes)
    return result, log_slopes.sum(0)


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
    rows, batch = len(moved), state.shape[1]
    by_raw = raw.new_empty((*raw.shape[:2], batch) if learns else 0)
    module = _splines(state.dtype, state.device, _bins(raw, periodic), periodic)
    given: tuple[Argument, ...] = (rows, batch, raw.shape[2], bound, inverse, moved, state, raw, by_log_det)
    _launch(module, "spline_gradient", rows * batch, *given, by_state, by_raw if learns else _NULL)
    return _summed(by_raw, raw) if learns else by_raw


def affine(state: Tensor, raw: Tensor, moved: Tensor, inverse: bool) -> tuple[Tensor, Tensor]:
    """``transforms.affine`` of rows [rows, batch]."""
    rows, batch = len(moved), state.shape[1]
    result, log_slopes = state.clone(), state.new_empty(rows, batch)
    module, shape = _layers(state.dtype, state.device), (rows, batch, raw.shape[1])
    _launch(module, "affine", rows * batch, *shape, inverse, moved, state, raw, result, log_slopes)
    return result, log_slopes.sum(0)


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
    rows, batch = len(moved), state.shape[1]
    by_raw = raw.new_empty((len(raw), batch) if learns else 0)
    given: tuple[Argument, ...] = (rows, batch, raw.shape[1], inverse, moved, state, raw, by_log_det)
    module = _layers(state.dtype, state.device)
    _launch(module, "affine_gradient", rows * batch, *given, by_state, by_raw if learns else _NULL)
    return _summed(by_raw, raw) if learns else by_raw


def _summed(by_raw: Tensor, raw: Tensor) -> Tensor:
    """Gradients by parameters: summed over the samples where the whole batch shares them."""
    return by_raw if by_raw.shape == raw.shape else by_raw.sum(-1, keepdim=True)


def features(
    torsions: Tensor, stiff: Tensor, kept: Tensor, folded: Tensor, fold: Tensor, kept_stiff: Tensor
) -> Tensor:
    """``transforms.torsion_features`` of rows [rows, batch], then the kept stiff rows."""
    sizes, batch = (len(kept), len(folded), len(kept_stiff)), torsions.shape[1]
    made = stiff.new_empty(2 * len(kept) + len(folded) + len(kept_stiff), batch)
    indices = (kept, folded, fold, kept_stiff)
    module = _layers(stiff.dtype, stiff.device)
    _launch(module, "features", made.numel(), *sizes, batch, *indices, torsions, stiff, made)
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
    sizes, batch = (len(kept), len(folded), len(kept_stiff)), torsions.shape[1]
    given = (kept, folded, fold, kept_stiff, torsions, made, by_features, by_torsions, by_stiff)
    module, threads = _layers(torsions.dtype, torsions.device), (len(kept) + len(kept_stiff)) * batch
    _launch(module, "features_gradient", threads, *sizes, batch, *given)


def perceptron(
    made: Tensor, network: list[Tensor], last: Tensor, bias: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """``transforms.perceptron`` of features [inputs, batch]; and what the gradient needs.

    The latter are each hidden layer's units before and after their activation.
    """
    module, batch = _layers(made.dtype, made.device), made.shape[1]
    before, inside = made, []
    for depth, (weight, offset) in enumerate(zip(network[::2], network[1::2], strict=True)):
        z = weight @ before
        hidden = torch.empty_like(z)
        skipped: Argument = before if depth else _NULL
        _launch(module, "activate", z.numel(), len(z), batch, offset, skipped, z, hidden)
        inside += [z, hidden]
        before = hidden
    return torch.addmm(bias[:, None], last, before), inside


def perceptron_gradient(
    by_raw: Tensor, made: Tensor, inside: list[Tensor], weights: list[Tensor], last: Tensor, learns: bool
) -> tuple[Tensor, Tensor, Tensor, list[Tensor]]:
    """Gradients by features, bias, last weight and network; empty where nothing ``learns``, but the first."""
    module, batch = _layers(made.dtype, made.device), made.shape[1]
    empty = made.new_empty(0)
    by_network: list[Tensor] = []
    by_hidden = last.t() @ by_raw
    for index in reversed(range(len(weights))):
        z, entering = inside[2 * index], inside[2 * index - 1] if index else made
        by_z = torch.empty_like(z)
        _launch(module, "activate_gradient", z.numel(), len(z), batch, z, by_hidden, by_z)
        if learns:
            by_network = [by_z @ entering.t(), by_z.sum(1), *by_network]
        below = weights[index].t() @ by_z
        by_hidden = below + by_hidden if index else below
    by_bias = by_raw.sum(1) if learns else empty
    by_last = by_raw @ inside[-1].t() if learns else empty
    return by_hidden, by_bias, by_last, by_network
