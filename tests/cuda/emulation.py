"""CUDA kernels run on the CPU: g++ compiles the text that NVRTC compiles, with a small header before it."""

from __future__ import annotations

import ctypes
import hashlib
import re
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch

from boltzgen.codegen.cuda_module import Argument, Limits, PackedArguments
from boltzgen.codegen.library import find_compiler

HEADER = Path(__file__).with_name("emulation.h")
H100 = Limits(processors=132, shared_per_block=232448, shared_per_processor=233472)


@cache
def _library(source: str) -> ctypes.CDLL:
    kernels = re.findall(r"__global__ void (?:__launch_bounds__\([\d, ]+\) )?(\w+)\(", source)
    text = "\n".join([HEADER.read_text(), source, *(f"EMULATE({name})" for name in kernels), ""])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{hashlib.sha256(text.encode()).hexdigest()}.cpp"
        file.write_text(text)
        made = file.with_suffix(".so")
        command = [str(find_compiler()), "-O0", "-std=c++17", "-fPIC", "-shared", str(file), "-o", str(made)]
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
        return ctypes.CDLL(str(made))


class EmulatedModule:
    """A ``Module`` whose device is the CPU.

    Parameters
    ----------
    source
        CUDA source.
    limits
        Those of the device that is played.
    backwards
        Run the threads of a block in the opposite order.
    """

    def __init__(self, source: str, limits: Limits = H100, backwards: bool = False) -> None:
        self.limits, self.backwards = limits, backwards
        self._library = _library(source)
        self.launched: list[str] = []

    def launch(
        self,
        name: str,
        grid: int,
        block: tuple[int, int],
        shared_bytes: int,
        arguments: Sequence[Argument],
        first: int = 0,
    ) -> None:
        """Run the blocks of a kernel from ``first`` on."""
        assert shared_bytes <= self.limits.shared_per_block
        self.launched.append(name)
        self.run(name, PackedArguments(arguments).pointers, grid, block, first)

    def run(self, name: str, pointers: Any, grid: int, block: tuple[int, int], first: int = 0) -> None:
        """The same with packed arguments."""
        function = getattr(self._library, f"emulate_{name}")
        assert function(pointers, first, grid, *block, self.backwards) == 0, "threads part at a barrier"


def emulated(source: str, device: torch.device) -> EmulatedModule:
    """What stands in for ``load_module``."""
    return EmulatedModule(source)
