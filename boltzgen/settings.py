"""Checking of settings: the first one that cannot be used is named in one sentence."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from boltzgen.errors import InputError

LARGEST_SEED = 2**63 - 1  # that torch takes
HIGHEST_TEMPERATURE = 10_000.0  # K

Schema = TypeVar("Schema", bound=BaseModel)


def validated(schema: type[Schema], **settings: Any) -> Schema:
    """``schema`` with ``settings``.

    Raises
    ------
    InputError
        Naming the first setting that cannot be used; for one that is not known, the nearest that is.
    """
    try:
        return schema.model_validate(settings)
    except ValidationError as error:
        first = error.errors()[0]
        own = first.get("ctx", {}).get("error")
        if isinstance(own, InputError):
            raise own from error
        place = ".".join(str(part) for part in first["loc"])
        reason = first["msg"] + "."
        if first["type"] == "extra_forbidden":
            reason = no_such_setting(str(first["loc"][-1]), _names(schema, first["loc"]))
        raise InputError(f"'{place}' cannot be {first['input']!r}: {reason}") from error


def no_such_setting(name: str, known: Iterable[str]) -> str:
    """The end of a sentence that offers the one of ``known`` that is most like ``name``, if one is."""
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"there is no such setting; did you mean '{found[0]}'?" if found else "there is no such setting."


def _names(schema: type[BaseModel], place: Sequence[str | int]) -> list[str]:
    """The settings that the schema at ``place``, within ``schema``, knows."""
    for part in place[:-1]:
        inner = schema.model_fields[str(part)].annotation
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        schema = inner
    return list(schema.model_fields)
