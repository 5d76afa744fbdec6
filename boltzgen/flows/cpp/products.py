"""Matrix products of a perceptron on one or two threads: own machine code where it is faster than torch's."""

from __future__ import annotations

import ctypes
from functools import cache

import torch
from torch import Tensor

from boltzgen.codegen.library import load_libraries
from boltzgen.flows.cpp.product_source import product_source

_N, _P = ctypes.c_int64, ctypes.c_void_p
_FEWEST = 64  # samples; smaller batches do not fill a tile
_MOST_THREADS = 2  # of torch, which spreads a product over its threads; here it runs on one


@cache
def _library(dtype: torch.dtype) -> ctypes.CDLL | None:
    (library,) = load_libraries([product_source(dtype)])
    if not library.has_products():
        return None
    library.product.argtypes, library.product.restype = [*5 * [_N], *5 * [_P]], None
    return library


def _served(batch: int, dtype: torch.dtype) -> ctypes.CDLL | None:
    return _library(dtype) if batch >= _FEWEST and torch.get_num_threads() <= _MOST_THREADS else None


def product(weight: Tensor, x: Tensor, bias: Tensor | None = None, added: Tensor | None = None) -> Tensor:
    """``weight`` [outputs, inputs] @ ``x`` [inputs, batch], plus ``bias`` [outputs] or ``added``.

    ``x`` and ``added`` are contiguous; ``weight`` may be transposed.
    """
    batch = x.shape[1]
    library = _served(batch, x.dtype)
    if library is None or weight.shape[1] != len(x) or weight.dtype != x.dtype:
        offset = added if bias is None else bias[:, None]
        return weight @ x if offset is None else torch.addmm(offset, weight, x)
    result = x.new_empty(len(weight), batch)
    library.product(
        *weight.shape,
        batch,
        *weight.stride(),
        weight.data_ptr(),
        x.data_ptr(),
        None if bias is None else bias.data_ptr(),
        None if added is None else added.data_ptr(),
        result.data_ptr(),
    )
    return result
