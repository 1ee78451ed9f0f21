"""Answers that are msgspec structs: encoded as they are, and described in the contract by their own schemas."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import Response

_REF = "#/components/schemas/{name}"


def respond(value: msgspec.Struct, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")


def answers(kind: type[msgspec.Struct], *statuses: int) -> dict[int | str, dict[str, Any]]:
    """For a route's `responses`: these statuses, 200 if none is named, come with a `kind`."""
    content = {"application/json": {"schema": {"$ref": _REF.format(name=kind.__name__)}}}
    return {status: {"description": kind.__name__, "content": content} for status in statuses or (200,)}


def components(*kinds: type[msgspec.Struct]) -> dict[str, Any]:
    """The schemas of `kinds` and of all that they are made of."""
    _, schemas = msgspec.json.schema_components(kinds, ref_template=_REF)
    for schema in schemas.values():
        schema["description"] = " ".join(schema.get("description", "").split())
    return schemas
