"""Just-in-time compilation of small functions, once for all sizes, wherever a C++ compiler is to be had."""

import functools
import os
import shutil
import warnings
from collections.abc import Callable
from typing import Any

import torch


@functools.cache
def can_compile() -> bool:
    """Whether just-in-time compilation works here: a C++ compiler, and no BOLTZGEN_COMPILE=0. Says no once."""
    if os.environ.get("BOLTZGEN_COMPILE") == "0":
        return False
    if torch.cuda.is_available() or shutil.which(os.environ.get("CXX", "g++")) or shutil.which("clang++"):
        return True
    warnings.warn("no C++ compiler found: running uncompiled, several times slower", stacklevel=2)
    return False


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function``, compiled at its first call with dynamic sizes, or as it is where nothing can compile."""
    lazy: list[Callable[..., Any]] = []

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if not lazy:
            lazy.append(torch.compile(function, dynamic=True) if can_compile() else function)
        return lazy[0](*args, **kwargs)

    return call
