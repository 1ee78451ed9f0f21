"""The OpenAPI 3.1 document of the whole HTTP API: FastAPI's routes, and the lean functions beside them."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from functions.api.schemas import Problem
from spandrel.knowledge.search.models import SearchAnswer, SearchRequest

PUBLIC = {"get_health"}
_SCHEMA = "#/components/schemas/{name}"
_DESCRIPTION = """Serverless backend for AI agents. Every error is an RFC 9457 problem with a stable `code`."""


def build_openapi(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(title=app.title, version=app.version, description=_DESCRIPTION, routes=app.routes)
    schemas: dict[str, Any] = document.setdefault("components", {}).setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas["Problem"] = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    _, lean = msgspec.json.schema_components((SearchRequest, SearchAnswer), ref_template=_SCHEMA)
    schemas |= lean
    schemas["Filter"] = _filter_schema()
    schemas["SearchRequest"]["properties"]["filter"] = {
        "anyOf": [{"$ref": _SCHEMA.format(name="Filter")}, {"type": "null"}]
    }
    document["paths"]["/v1/search"] = {"post": _search_operation()}
    document["components"]["securitySchemes"] = {"jwt": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}
    document["security"] = [{"jwt": []}]
    for path in document["paths"].values():
        for operation in path.values():
            _finish(operation)
    return document


def _search_operation() -> dict[str, Any]:
    def json_content(name: str) -> dict[str, Any]:
        return {"application/json": {"schema": {"$ref": _SCHEMA.format(name=name)}}}

    return {
        "tags": ["search"],
        "summary": "Search",
        "operationId": "search",
        "description": "Hybrid search over your collections: reciprocal-rank fusion of vector similarity and BM25.",
        "requestBody": {"required": True, "content": json_content("SearchRequest")},
        "responses": {"200": {"description": "Best first", "content": json_content("SearchAnswer")}},
    }


def _filter_schema() -> dict[str, Any]:
    return {
        "title": "Filter",
        "type": "object",
        "minProperties": 1,
        "description": (
            "All entries must hold. An entry is an attribute with a value (equal), a list (one of) or an object of "
            "operators (eq, ne, gt, gte, lt, lte, in, nin), or `and` / `or` with a list of filters."
        ),
        "examples": [{"year": {"gte": 2020}, "or": [{"team": "red"}, {"tags": {"in": ["urgent", "draft"]}}]}],
    }


def _finish(operation: dict[str, Any]) -> None:
    """Problems as they really come, instead of FastAPI's own validation error."""
    error = {"application/problem+json": {"schema": {"$ref": _SCHEMA.format(name="Problem")}}}
    operation["responses"].pop("422", None)
    operation["responses"]["default"] = {"description": "A problem", "content": error}
    if operation["operationId"] in PUBLIC:
        operation["security"] = []
