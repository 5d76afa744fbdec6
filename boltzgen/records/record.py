"""Records: frozen schemas whose numbers may be unknown, which JSON writes as null."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    SerializerFunctionWrapHandler,
    WithJsonSchema,
    model_serializer,
)

Real = Annotated[
    float,
    BeforeValidator(lambda value: math.nan if value is None else value),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "null"}]}),
]
"""A number, or nan where it is not known. JSON has no nan and no infinity: both become null."""


class Record(BaseModel):
    """A schema that refuses keys it does not know. Keys named in ``omitted`` are left out where None."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, protected_namespaces=(), ser_json_inf_nan="null", strict=False
    )
    omitted: ClassVar[frozenset[str]] = frozenset()

    @model_serializer(mode="wrap")
    def _without_omitted(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written = handler(self)
        return {key: value for key, value in written.items() if value is not None or key not in self.omitted}

    def to_json(self) -> str:
        """JSON text of all fields; numbers that are not finite are null."""
        return self.model_dump_json(indent=2) + "\n"
