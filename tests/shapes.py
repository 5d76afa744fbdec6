"""Check of the array shapes that annotations promise, in every function of the package that a test calls."""

import types
from typing import get_args

from beartype import beartype
from jaxtyping import AbstractArray


def _names_an_array(hint: object) -> bool:
    if isinstance(hint, type) and not isinstance(hint, types.GenericAlias):
        return issubclass(hint, AbstractArray)
    return any(_names_an_array(inner) for inner in get_args(hint))


def check_shapes(function):
    """A type checker for ``jaxtyping.install_import_hook``: beartype, for annotations that name arrays.

    The others are mypy's.
    """
    hints = function.__annotations__
    for name in [name for name, hint in hints.items() if not _names_an_array(hint)]:
        del hints[name]
    return beartype(function) if hints else function
