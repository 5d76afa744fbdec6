"""Checking of settings: the first one that cannot be used is named in one sentence."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from boltzgen.errors import InputError

Schema = TypeVar("Schema", bound=BaseModel)


def validated(schema: type[Schema], **settings: Any) -> Schema:
    """``schema`` with ``settings``. Raises InputError that names the first setting that cannot be used."""
    try:
        return schema.model_validate(settings)
    except ValidationError as error:
        first = error.errors()[0]
        own = first.get("ctx", {}).get("error")
        if isinstance(own, InputError):
            raise own from error
        place = ".".join(str(part) for part in first["loc"])
        raise InputError(f"'{place}' cannot be {first['input']!r}: {first['msg']}.") from error
