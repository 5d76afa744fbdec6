"""Generated C++ turned into shared libraries, once on a machine: kept on disk by a hash of their source."""

from __future__ import annotations

import atexit
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


def cache_folder() -> Path:
    """$BOLTZGEN_CACHE, else boltzgen/ in the user's cache folder; a temporary one if that is not writable."""
    base = os.environ.get("BOLTZGEN_CACHE")
    folder = (
        Path(base) if base else Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "boltzgen"
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except OSError:
        pass  # a read-only home: the libraries then live as long as the process
    return _temporary_folder()


@cache
def _temporary_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="boltzgen-"))
    atexit.register(_remove, folder, os.getpid())
    return folder


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # not at the end of a forked child
        shutil.rmtree(folder, ignore_errors=True)


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
    """A library for each source, those not on disk compiled side by side.

    A file that cannot be loaded is compiled anew once. Raises EvaluationError with the compiler's message
    where it fails.
    """
    with ThreadPoolExecutor(max_workers=max(1, min(len(sources), os.cpu_count() or 1))) as pool:
        paths = list(pool.map(_compiled, sources))
    return [_load(source, path) for source, path in zip(sources, paths, strict=True)]


def _load(source: str, path: Path) -> ctypes.CDLL:
    try:
        return _loaded(path)
    except OSError:  # a damaged file, or one of another system that shares the folder
        try:
            path.unlink(missing_ok=True)
            return _loaded(_compiled(source))
        except OSError as error:
            raise EvaluationError(f"the compiled library {path} cannot be loaded: {error}") from error


@cache
def _loaded(path: Path) -> ctypes.CDLL:
    return ctypes.CDLL(str(path))


def _compiled(source: str) -> Path:
    try:
        folder, machine = cache_folder(), _machine()
        targets = [folder / f"native-{_digest(source, machine, flags)}.so" for flags in _FLAG_SETS]
        for target in targets:
            if target.exists():
                return target
        return _compile(source, targets)
    except (OSError, subprocess.SubprocessError) as error:
        raise EvaluationError(f"the C++ compiler could not run: {error}") from error


def _digest(source: str, machine: str, flags: Sequence[str]) -> str:
    return hashlib.sha256("\0".join([source, machine, *_PORTABLE, *flags]).encode()).hexdigest()[:32]


def _compile(source: str, targets: Sequence[Path]) -> Path:
    """Compiles with the first set of flags that the compiler takes, into the target of this set."""
    message = ""
    with tempfile.TemporaryDirectory(dir=targets[0].parent) as folder:
        file, made = Path(folder) / "kernel.cpp", Path(folder) / "kernel.so"
        file.write_text(source)
        for target, flags in zip(targets, _FLAG_SETS, strict=True):
            command = [str(find_compiler()), *_PORTABLE, *flags, str(file), "-o", str(made), "-lm"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT)
            if done.returncode == 0:
                os.replace(made, target)  # whole or not at all, whoever else compiles the same
                return target
            message = done.stderr.strip()
    raise EvaluationError(f"the C++ compiler {find_compiler()} failed on generated code: {message[-2000:]}")
