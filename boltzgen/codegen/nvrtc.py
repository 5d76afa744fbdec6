"""CUDA source compiled to machine code of a GPU's architecture (cubin) by NVRTC, and kept on disk.

NVRTC is a library: it needs neither a CUDA toolkit nor a GPU nor a driver. Its wheel ``nvidia-cuda-nvrtc``
comes with torch's CUDA builds, and so does ``cuda-bindings``, through which it is called.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from boltzgen.codegen.cache import cache_folder, check_library, find_library, library_path
from boltzgen.errors import EvaluationError

# No --use_fast_math: divisions, roots and transcendental functions keep their precision. Warning 177 is of
# functions that are not used, which preludes have.
_OPTIONS = ("--std=c++17", "-diag-suppress=177")
_SUFFIX = ".cubin"


@cache
def _library() -> Any:
    """``cuda.bindings.nvrtc``, or None where it or the library that it loads cannot be had."""
    try:
        from cuda.bindings import nvrtc

        nvrtc.nvrtcVersion()
    except (ImportError, RuntimeError, OSError):
        return None
    return nvrtc


def can_compile_cuda() -> bool:
    """Whether NVRTC is there and ``BOLTZGEN_COMPILE=0`` does not ask to do without it."""
    return os.environ.get("BOLTZGEN_COMPILE") != "0" and _library() is not None


def compiled(source: str, architecture: str) -> bytes:
    """Machine code of CUDA source, from disk where it was compiled before.

    Parameters
    ----------
    source
        CUDA C++ that includes nothing.
    architecture
        Such as ``"sm_90"``.

    Returns
    -------
    bytes
        A CUBIN, which the driver can load.

    Raises
    ------
    EvaluationError
        Where NVRTC is missing or refuses the source, with its message.
    """
    version = "{}.{}".format(*_call("nvrtcVersion"))
    key = "\0".join([source, architecture, version, *_OPTIONS])
    source_hash = hashlib.sha256(key.encode()).hexdigest()[:32]
    try:
        folder = cache_folder()
        if (found := find_library(folder, source_hash, _SUFFIX)) is not None:
            try:
                check_library(found)
                return found.read_bytes()
            except OSError:  # damaged, or not of this user: it is made anew
                found.unlink(missing_ok=True)
        code, _ = compile_source(source, architecture)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            made = Path(scratch) / "kernel"
            made.write_bytes(code)
            made.chmod(0o600)
            os.replace(made, library_path(folder, source_hash, code, _SUFFIX))
    except OSError as error:
        raise EvaluationError(f"compiled GPU code cannot be kept: {error}") from error
    return code


def compile_source(source: str, architecture: str, *options: str) -> tuple[bytes, str]:
    """Compile CUDA source by NVRTC, without looking for it on disk.

    Parameters
    ----------
    source
        CUDA C++ that includes nothing.
    architecture
        Such as ``"sm_90"`` for machine code, or ``"compute_90"`` for PTX.
    *options
        Further options of NVRTC.

    Returns
    -------
    code, log
        Machine code, or PTX as text; and the compiler's log, which with ``--ptxas-options=-v`` tells
        registers and spills.

    Raises
    ------
    EvaluationError
        Where NVRTC is missing or refuses the source, with its message.
    """
    program = _call("nvrtcCreateProgram", source.encode(), b"kernel.cu", 0, [], [])
    try:
        arguments = [
            f"--gpu-architecture={architecture}".encode(),
            *(o.encode() for o in (*_OPTIONS, *options)),
        ]
        (status,) = _library().nvrtcCompileProgram(program, len(arguments), arguments)
        log = _text(program, "ProgramLog").decode(errors="replace").strip("\0 \n")
        if status != 0:
            raise EvaluationError(f"NVRTC failed on generated code for {architecture}: {log[-2000:]}")
        return _text(program, "PTX" if architecture.startswith("compute_") else "CUBIN"), log
    finally:
        _library().nvrtcDestroyProgram(program)


def _text(program: Any, what: str) -> bytes:
    # NVRTC writes into this: bytes would not do, as Python keeps one object for all bytes of length 1.
    content = bytearray(_call(f"nvrtcGet{what}Size", program))
    _call(f"nvrtcGet{what}", program, content)
    return bytes(content)


def _call(name: str, *arguments: Any) -> Any:
    """The result of a function of NVRTC. Raises EvaluationError for a status that is not success."""
    library = _library()
    if library is None:
        raise EvaluationError(
            "NVRTC cannot be loaded: install the packages cuda-bindings and nvidia-cuda-nvrtc"
        )
    status, *results = getattr(library, name)(*arguments)
    if status != 0:
        raise EvaluationError(f"{name} failed: {library.nvrtcGetErrorString(status)[1].decode()}")
    return results[0] if len(results) == 1 else results
