"""Energies as generated machine code on an NVIDIA GPU."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from boltzgen.codegen.cpp_prelude import SCALARS
from boltzgen.codegen.cuda_module import Argument, Limits, Module, load_module
from boltzgen.codegen.nvrtc import can_compile_cuda
from boltzgen.codegen.tables import pack
from boltzgen.energies.backends.backend import Backend, Evaluator
from boltzgen.energies.backends.cuda_kernels import (
    COLUMN_BLOCK,
    MOST_WARPS,
    TILE,
    energy_source,
    tile_bytes,
    values_of_atoms,
)
from boltzgen.energies.terms.term import GraphTerm

_COLUMNS_FROM = 32768  # conformations: enough threads to fill a GPU with one for each


class CudaBackend(Backend):
    """Evaluates terms by machine code that NVRTC makes of their graphs."""

    def serves(self, x: Tensor) -> bool:
        """Whether the positions are single or double precision on an NVIDIA GPU, and NVRTC is there.

        Parameters
        ----------
        x
            Positions, [3, atoms, batch].

        Returns
        -------
        bool
            Whether ``build`` makes an evaluator for them.
        """
        return (
            x.device.type == "cuda"
            and torch.version.hip is None
            and x.dtype in SCALARS
            and can_compile_cuda()
        )

    def build(
        self, terms: Sequence[GraphTerm], n_atoms: int, dtype: torch.dtype, device: torch.device
    ) -> Evaluator:
        """Compile the terms' kernels, or find them on disk, and copy the terms' data to the device.

        Parameters
        ----------
        terms
            Terms of a molecule of ``n_atoms`` atoms.
        n_atoms
            Number of atoms.
        dtype
            Precision of the positions.
        device
            The GPU.

        Returns
        -------
        Evaluator
            Function of positions in nm, which returns energies in kJ/mol and gradients in kJ/mol/nm.

        Raises
        ------
        EvaluationError
            Where the terms cannot be compiled.
        """
        return CudaEnergy(terms, n_atoms, dtype, device)


class CudaEnergy:
    """Sum of terms in one precision on one GPU.

    Parameters
    ----------
    load
        Makes the kernels of a source on a device; tests give the same kernels compiled for the CPU.
    """

    def __init__(
        self,
        terms: Sequence[GraphTerm],
        n_atoms: int,
        dtype: torch.dtype,
        device: torch.device,
        load: Callable[[str, torch.device], Module] = load_module,
    ) -> None:
        self.n_atoms, self.n_values, self.dtype = n_atoms, values_of_atoms(terms), dtype
        self._module = load(energy_source(terms, dtype), device)
        self._data = [part.to(device) for part in _packed(terms, dtype)]

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Energy [batch] and gradient [3, atoms, batch] of positions [3, atoms, batch] on the GPU.

        Where either is not finite the energy is +inf and the gradient zero. Nothing waits for the GPU.
        """
        x = x.contiguous()
        batch = x.shape[2]
        energy, gradient = x.new_empty(batch), torch.empty_like(x)
        if batch == 0:
            return energy, gradient
        arguments: list[Argument] = [*self._data, x, energy, gradient, self.n_atoms, ctypes.c_int64(batch)]
        warps = choose_warps(self.n_atoms, self.n_values, batch, self.dtype, self._module.limits)
        if warps and batch < _COLUMNS_FROM:
            shared = tile_bytes(self.n_atoms, self.n_values, warps, self.dtype)
            self._module.launch("tiles", -(-batch // TILE), (TILE, warps), shared, arguments)
        else:
            scratch = x.new_zeros(2 * self.n_values * self.n_atoms, batch)
            blocks = -(-batch // COLUMN_BLOCK)
            self._module.launch("columns", blocks, (COLUMN_BLOCK, 1), 0, [*arguments, scratch])
        return energy, gradient


def choose_warps(n_atoms: int, n_values: int, batch: int, dtype: torch.dtype, limits: Limits) -> int:
    """Choose how many warps a block of 32 conformations has, to keep most warps of a multiprocessor busy.

    More warps make small batches fill the GPU; each has a gradient of its own in shared memory, so that fewer
    blocks are on a multiprocessor at once.

    Parameters
    ----------
    n_atoms
        Number of atoms.
    n_values
        Values that the kernel keeps for each atom.
    batch
        Number of conformations.
    dtype
        Precision of the positions.
    limits
        What the GPU has.

    Returns
    -------
    int
        Number of warps; 0 where not even one fits into shared memory.
    """
    blocks = -(-batch // (TILE * limits.processors))  # that a multiprocessor gets
    best, most = 0, 0
    for warps in (1, 2, 4, 8, 16):
        size = tile_bytes(n_atoms, n_values, warps, dtype)
        if warps > MOST_WARPS[dtype] or size > limits.shared_per_block:
            break
        # the driver keeps a kilobyte of each block for itself
        at_once = warps * min(blocks, limits.shared_per_processor // (size + 1024))
        if at_once > most:
            best, most = warps, at_once
    return best


def _packed(terms: Sequence[GraphTerm], dtype: torch.dtype) -> list[Tensor]:
    """Integers, parameters and tables of all terms, each in one tensor that begins with where they are."""
    integers: list[Tensor] = []
    parameters: list[Tensor] = []
    tables: list[Tensor] = []
    places, at = list[int](), [4 * len(terms), 0, 0]
    for term in terms:
        data, table = term.data(), pack(term.tables)[0]
        places += [data.count, *at]
        for part, (values, kept) in enumerate(
            ((data.atoms, integers), (data.parameters, parameters), (table, tables))
        ):
            kept.append(values.flatten())
            at[part] += values.numel()
    head = torch.tensor(places, dtype=torch.int64)
    rest = torch.zeros(1, dtype=torch.float64)  # never empty, so that there is an address
    return [
        torch.cat([head, *integers]).to(torch.int32),
        torch.cat([*parameters, rest]).to(dtype),
        torch.cat([*tables, rest]).to(dtype),
    ]
