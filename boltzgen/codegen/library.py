"""Generated C++ turned into shared libraries, once on a machine: kept on disk by a hash of their source."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from boltzgen.codegen.cache import cache_folder, check_library, find_library, library_path
from boltzgen.cores import usable_cores
from boltzgen.errors import EvaluationError

# No NaN, infinity or association is assumed away: only errno, traps and the sign of zero are.
_PORTABLE = ["-O3", "-std=c++17", "-fPIC", "-shared"]
_FLAGS = [
    "-march=native",
    "-fopenmp-simd",
    "-fno-builtin",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fno-signed-zeros",
    "-freciprocal-math",
    "-ffp-contract=fast",
]
# A compiler that lacks an option gets fewer.
_FLAG_SETS: tuple[list[str], ...] = ([*_FLAGS, "-mprefer-vector-width=512"], _FLAGS, [])
_TIMEOUT = 300  # seconds


@cache
def find_compiler() -> str | None:
    """Path of a C++ compiler: $CXX, then c++, g++, clang++."""
    for candidate in (os.environ.get("CXX"), "c++", "g++", "clang++"):
        if candidate and (found := shutil.which(candidate)):
            return found
    return None


@cache
def can_compile() -> bool:
    """Whether there is a C++ compiler and no BOLTZGEN_COMPILE=0. A missing compiler is told once."""
    if os.environ.get("BOLTZGEN_COMPILE") == "0":
        return False
    if find_compiler() is None:
        warnings.warn(
            "no C++ compiler found: energies and flows run uncompiled, many times slower", stacklevel=2
        )
        return False
    return True


@cache
def _machine() -> str:
    """What decides whether machine code made here runs there: processor features and compiler version."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        features = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    except OSError:
        features = platform.processor()
    version = subprocess.run(
        [str(find_compiler()), "--version"], capture_output=True, text=True, timeout=30
    ).stdout
    return "\n".join([platform.machine(), features, version])


def load_libraries(sources: Sequence[str]) -> list[ctypes.CDLL]:
    """Load a library for each source, compiling side by side those that are not on disk.

    A file that is damaged, that another user could have written or that cannot be loaded is compiled anew
    once. Several processes may do this at the same time.

    Parameters
    ----------
    sources
        C++ sources.

    Returns
    -------
    list of ctypes.CDLL
        The loaded libraries, in the order of the sources.

    Raises
    ------
    EvaluationError
        With the compiler's message, where compilation fails.
    """
    with ThreadPoolExecutor(max_workers=max(1, min(len(sources), usable_cores()))) as pool:
        paths = list(pool.map(_compiled, sources))
    return [_load(source, path) for source, path in zip(sources, paths, strict=True)]


def _load(source: str, path: Path) -> ctypes.CDLL:
    try:
        return _loaded(path)
    except OSError:  # a damaged or foreign file, or one of another system that shares the folder
        try:
            path.unlink(missing_ok=True)
            return _loaded(_compiled(source))
        except OSError as error:
            raise EvaluationError(f"the compiled library {path} cannot be loaded: {error}") from error


@cache
def _loaded(path: Path) -> ctypes.CDLL:
    check_library(path)
    return ctypes.CDLL(str(path))


def _compiled(source: str) -> Path:
    """The library of a source, found on disk or made."""
    try:
        folder, machine = cache_folder(), _machine()
        hashes = [_digest(source, machine, flags) for flags in _FLAG_SETS]
        for source_hash in hashes:
            if (found := find_library(folder, source_hash)) is not None:
                return found
        return _compile(source, folder, hashes)
    except (OSError, subprocess.SubprocessError) as error:
        raise EvaluationError(f"the C++ compiler could not run: {error}") from error


def _digest(source: str, machine: str, flags: Sequence[str]) -> str:
    return hashlib.sha256("\0".join([source, machine, *_PORTABLE, *flags]).encode()).hexdigest()[:32]


def _compile(source: str, folder: Path, hashes: Sequence[str]) -> Path:
    """Compile with the first set of flags that the compiler takes; ``hashes`` belong to these sets."""
    message = ""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        file, made = Path(scratch) / "kernel.cpp", Path(scratch) / "kernel.so"
        file.write_text(source)
        for source_hash, flags in zip(hashes, _FLAG_SETS, strict=True):
            command = [str(find_compiler()), *_PORTABLE, *flags, str(file), "-o", str(made), "-lm"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT)
            if done.returncode == 0:
                made.chmod(0o700)
                target = library_path(folder, source_hash, made.read_bytes())
                os.replace(made, target)  # whole or not at all, whoever else compiles the same
                return target
            message = done.stderr.strip()
    raise EvaluationError(f"the C++ compiler {find_compiler()} failed on generated code: {message[-2000:]}")
