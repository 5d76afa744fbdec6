"""Compiled CUDA kernels loaded into a GPU, and launched on torch's stream."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import torch
from torch import Tensor

from boltzgen.codegen.nvrtc import compiled
from boltzgen.errors import EvaluationError

Argument = Tensor | int | float | ctypes.c_int64 | ctypes.c_void_p
"""Of a kernel: a tensor (its address), a C ``int``, a ``double``, or what ctypes says it is."""


@dataclass(frozen=True)
class Limits:
    """What a GPU has.

    Attributes
    ----------
    processors
        Multiprocessors.
    shared_per_block
        Bytes of shared memory that one block may have, with the opt-in that larger blocks need.
    shared_per_processor
        Bytes of shared memory of a multiprocessor.
    """

    processors: int
    shared_per_block: int
    shared_per_processor: int


class Module(Protocol):
    """Kernels of one source on one device."""

    limits: Limits

    def launch(
        self, name: str, grid: int, block: tuple[int, int], shared_bytes: int, arguments: Sequence[Argument]
    ) -> None:
        """Start a kernel without waiting for it.

        Parameters
        ----------
        name
            Name of the kernel in the source.
        grid
            Number of blocks.
        block
            Threads of a block along x and y.
        shared_bytes
            Dynamic shared memory of each block.
        arguments
            Arguments of the kernel: tensors as pointers, numbers as C's int and double, ctypes as they are.
        """


class PackedArguments:
    """Arguments as the driver takes them: an array of pointers to values."""

    def __init__(self, arguments: Sequence[Argument]) -> None:
        self._values = [_as_c(argument) for argument in arguments]
        self.pointers = (ctypes.c_void_p * len(self._values))(*map(ctypes.addressof, self._values))


def _as_c(argument: Argument) -> Any:
    if isinstance(argument, Tensor):
        return ctypes.c_void_p(argument.data_ptr())
    if isinstance(argument, float):
        return ctypes.c_double(argument)
    return ctypes.c_int(argument) if isinstance(argument, int) else argument


class CudaModule:
    """Kernels in the memory of a GPU, through the driver's interface of ``cuda.bindings``.

    A launch goes to torch's current stream of the device, so that it follows the work that made its
    arguments, and becomes part of a CUDA graph that is being captured there. Memory of the arguments must
    come from torch, which does not hand it to another stream while this one may use it.

    Parameters
    ----------
    source
        CUDA C++, compiled for the device unless that is on disk.
    device
        A CUDA device.

    Raises
    ------
    EvaluationError
        Where the source cannot be compiled or the driver refuses.
    """

    def __init__(self, source: str, device: torch.device) -> None:
        from cuda.bindings import driver

        self._driver, self.device = driver, device
        major, minor = torch.cuda.get_device_capability(device)
        code = compiled(source, f"sm_{major}{minor}")
        with torch.cuda.device(device):
            self._module = self._call("cuModuleLoadData", code)
            handle = self._call("cuCtxGetDevice")
            attribute = driver.CUdevice_attribute
            self.limits = Limits(
                *(
                    self._call("cuDeviceGetAttribute", which, handle)
                    for which in (
                        attribute.CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT,
                        attribute.CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN,
                        attribute.CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR,
                    )
                )
            )
        self._functions: dict[str, Any] = {}

    def launch(
        self, name: str, grid: int, block: tuple[int, int], shared_bytes: int, arguments: Sequence[Argument]
    ) -> None:
        """Start a kernel without waiting for it; the parameters are those of ``Module.launch``.

        Raises
        ------
        EvaluationError
            Where the driver refuses.
        """
        packed = PackedArguments(arguments)  # the driver copies the values before it returns
        with torch.cuda.device(self.device):
            stream = torch.cuda.current_stream(self.device).cuda_stream
            function = self._function(name)
            address = ctypes.addressof(packed.pointers)
            self._call("cuLaunchKernel", function, grid, 1, 1, *block, 1, shared_bytes, stream, address, 0)

    def _function(self, name: str) -> Any:
        if name not in self._functions:
            function = self._call("cuModuleGetFunction", self._module, name.encode())
            which = self._driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
            fixed = self._driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES
            room = self.limits.shared_per_block - self._call("cuFuncGetAttribute", fixed, function)
            self._call("cuFuncSetAttribute", function, which, room)
            self._functions[name] = function
        return self._functions[name]

    def _call(self, name: str, *arguments: Any) -> Any:
        status, *results = getattr(self._driver, name)(*arguments)
        if status != 0:
            _, text = self._driver.cuGetErrorString(status)
            raise EvaluationError(f"{name} failed on {self.device}: {text.decode() if text else status}")
        return results[0] if results else None


@cache
def load_module(source: str, device: torch.device) -> CudaModule:
    """The kernels of a source on a device; several energies of the same formulas share them.

    Parameters
    ----------
    source
        CUDA C++.
    device
        A CUDA device.

    Returns
    -------
    CudaModule
        The same one for the same arguments.

    Raises
    ------
    EvaluationError
        Where the source cannot be compiled or the driver refuses.
    """
    return CudaModule(source, device)
