"""Energies as generated machine code on the CPU, blocks of conformations spread over torch's threads."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import torch
from torch import Tensor

from boltzgen.codegen.cpp_prelude import LANES, SCALARS
from boltzgen.codegen.library import can_compile, load_libraries
from boltzgen.codegen.tables import pack
from boltzgen.energies.backends.backend import Backend, Evaluator
from boltzgen.energies.backends.cpp_born import born_kernel
from boltzgen.energies.backends.cpp_kernels import cluster_kernel, driver_source
from boltzgen.energies.terms.born import BornTerm
from boltzgen.energies.terms.cluster import ClusterTerm
from boltzgen.energies.terms.term import GraphTerm
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


_SOURCES: dict[type, Callable[..., str]] = {ClusterTerm: cluster_kernel, BornTerm: born_kernel}


class CppBackend(Backend):
    """Evaluates terms by machine code that a C++ compiler makes of their graphs.

    Parameters
    ----------
    insisted
        Compile even where ``BOLTZGEN_COMPILE=0`` asks not to.
    """

    def __init__(self, insisted: bool = False) -> None:
        self.insisted = insisted

    def serves(self, x: Tensor) -> bool:
        """Whether the positions are single or double precision on the CPU, and there is a compiler.

        Parameters
        ----------
        x
            Positions, [3, atoms, batch].

        Returns
        -------
        bool
            Whether ``build`` makes an evaluator for them.
        """
        return x.device.type == "cpu" and x.dtype in SCALARS and (self.insisted or can_compile())

    def build(
        self, terms: Sequence[GraphTerm], n_atoms: int, dtype: torch.dtype, device: torch.device
    ) -> Evaluator:
        """Compile the terms' kernels, or find them on disk, and bind them to the terms' data.

        Parameters
        ----------
        terms
            Terms of a molecule of ``n_atoms`` atoms.
        n_atoms
            Number of atoms.
        dtype
            Precision of the positions.
        device
            The CPU.

        Returns
        -------
        Evaluator
            Function of positions in nm, which returns energies in kJ/mol and gradients in kJ/mol/nm.

        Raises
        ------
        EvaluationError
            Where the terms cannot be compiled.
        """
        return CppEnergy(terms, n_atoms, dtype)


class CppEnergy:
    """Sum of terms in one precision, as machine code."""

    def __init__(self, terms: Sequence[GraphTerm], n_atoms: int, dtype: torch.dtype) -> None:
        self.n_atoms = n_atoms
        sources = [_SOURCES[type(term)](term, dtype) for term in terms]
        driver, *libraries = load_libraries([driver_source(dtype), *sources])
        self._evaluate = driver.evaluate
        self._evaluate.argtypes = [ctypes.c_void_p, *[ctypes.c_int64] * 5, *[ctypes.c_void_p] * 3]
        self._data = [_packed(term, dtype) for term in terms]  # kept alive: the kernels point into it
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


def _packed(term: GraphTerm, dtype: torch.dtype) -> tuple[int, Tensor, Tensor, Tensor]:
    """Count, int32 atoms, parameters in this precision and tables: what the kernel's structure points to."""
    data = term.data()
    atoms, parameters = data.atoms.to(torch.int32).contiguous(), data.parameters.to(dtype).contiguous()
    return data.count, atoms, parameters, pack(term.tables)[0]


@cache
def _threads(count: int, process: int) -> ThreadPoolExecutor:
    """Threads of this process: a forked child has none of its parent's."""
    return ThreadPoolExecutor(max_workers=max(1, count), thread_name_prefix="energy")
