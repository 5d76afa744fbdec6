"""Terms run as generated machine code on the CPU, blocks of conformations spread over torch's threads."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import torch
from torch import Tensor

from boltzgen.codegen.language import LANES
from boltzgen.codegen.library import load_libraries
from boltzgen.energies.native_code import driver_source
from boltzgen.energies.term import NativeTerm
from boltzgen.errors import EvaluationError

_WORTH_A_THREAD = 4 * LANES  # conformations; waking a thread costs about as much as a few blocks


class _Kernel(ctypes.Structure):
    _fields_ = (
        ("run", ctypes.c_void_p),
        ("count", ctypes.c_int64),
        ("n_atoms", ctypes.c_int64),
        ("atoms", ctypes.c_void_p),
        ("parameters", ctypes.c_void_p),
        ("tables", ctypes.c_void_p),
    )


class NativeEnergy:
    """Sum of terms in one precision, as machine code. Raises EvaluationError where it cannot be compiled."""

    def __init__(self, terms: Sequence[NativeTerm], n_atoms: int, dtype: torch.dtype) -> None:
        self.n_atoms, self.dtype = n_atoms, dtype
        driver, *libraries = load_libraries([driver_source(dtype), *(t.native_source(dtype) for t in terms)])
        self._evaluate = driver.evaluate
        self._evaluate.argtypes = [ctypes.c_void_p, *[ctypes.c_int64] * 5, *[ctypes.c_void_p] * 3]
        self._data = [term.native_data(dtype) for term in terms]  # kept alive: the kernels point into it
        self._kernels = (_Kernel * len(terms))(
            *(
                _Kernel(
                    ctypes.cast(library.run, ctypes.c_void_p),
                    count,
                    n_atoms,
                    atoms.data_ptr(),
                    parameters.data_ptr(),
                    tables.data_ptr(),
                )
                for library, (count, atoms, parameters, tables) in zip(libraries, self._data, strict=True)
            )
        )

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Energy [batch] and gradient [3, atoms, batch] of positions [3, atoms, batch] on the CPU.

        Where either is not finite the energy is +inf and the gradient zero.
        """
        x = x.contiguous()
        batch = x.shape[2]
        energy, gradient = x.new_empty(batch), torch.empty_like(x)
        threads = max(1, min(torch.get_num_threads(), batch // _WORTH_A_THREAD))
        blocks = -(-batch // LANES)
        edges = [min(batch, LANES * (blocks * i // threads)) for i in range(threads + 1)]

        def evaluate(i: int) -> int:
            return self._evaluate(
                self._kernels,
                len(self._kernels),
                self.n_atoms,
                batch,
                edges[i],
                edges[i + 1],
                x.data_ptr(),
                energy.data_ptr(),
                gradient.data_ptr(),
            )

        others = [_threads(threads - 1, os.getpid()).submit(evaluate, i) for i in range(1, threads)]
        failures = evaluate(0) + sum(other.result() for other in others)
        if failures:
            raise EvaluationError(
                f"no memory for the energies of {batch} conformations of {self.n_atoms} atoms"
            )
        return energy, gradient


@cache
def _threads(count: int, process: int) -> ThreadPoolExecutor:
    """Threads of this process: a forked child has none of its parent's."""
    return ThreadPoolExecutor(max_workers=max(1, count), thread_name_prefix="energy")
