"""The OpenAPI 3.1 document of the whole HTTP API: FastAPI's routes, and the lean functions beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from functions.api.schemas import Problem
from functions.api.structs import components
from spandrel.knowledge.search.models import Hit, SearchAnswer, SearchRequest
from spandrel.prompts.models import PromptAnswer, PromptRequest
from spandrel.sessions.begin_models import SessionAnswer, SessionRequest
from spandrel.templates.models import Saved, TemplatePage, Validation, VersionDiff, VersionPage

PUBLIC = {"get_health", "get_openapi"}
_SCHEMA = "#/components/schemas/{name}"
_DESCRIPTION = """\
Serverless backend for AI agents. Every error is an RFC 9457 problem with a stable `code`, but for what the gateway
refuses before a function is asked: 401 without a valid token, 429 where all clients together ask too much. Those have a
`message` alone.
"""


@dataclass(frozen=True, slots=True)
class LeanOperation:
    """A POST that a function of its own serves."""

    path: str
    tag: str
    operation_id: str
    request: type
    answer: type
    status: str
    description: str
    creates: bool = False


LEAN = (
    LeanOperation(
        "/v1/search",
        "search",
        "search",
        SearchRequest,
        SearchAnswer,
        "200",
        "Hybrid search over your collections: reciprocal-rank fusion of vector similarity and BM25.",
    ),
    LeanOperation(
        "/v1/prompts",
        "prompts",
        "generate_prompt",
        PromptRequest,
        PromptAnswer,
        "200",
        "Composes a prompt from a template, your values, and the knowledge and tools at hand. Keeps nothing.",
    ),
    LeanOperation(
        "/v1/sessions",
        "sessions",
        "create_session",
        SessionRequest,
        SessionAnswer,
        "201",
        "Begins a session from a template. Where a required variable is missing it waits for it in `initializing`; a "
        "template with `auto_execute` and enough confidence has its first turn queued at once.",
        creates=True,
    ),
)


def build_openapi(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(title=app.title, version=app.version, description=_DESCRIPTION, routes=app.routes)
    schemas: dict[str, Any] = document.setdefault("components", {}).setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas["Problem"] = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= components(Hit, *(kind for operation in LEAN for kind in (operation.request, operation.answer)))
    structs = components(Saved, TemplatePage, Validation, VersionDiff, VersionPage)
    if twice := schemas.keys() & structs.keys():
        raise ValueError(f"two types have the name {twice}")
    schemas |= structs
    schemas |= {"GatewayFault": _GATEWAY_FAULT, "Filter": _FILTER, "FilterCondition": _CONDITION}
    schemas["SearchRequest"]["properties"]["filter"] = {
        "anyOf": [{"$ref": _SCHEMA.format(name="Filter")}, {"type": "null"}]
    }
    schemas["SearchAnswer"]["properties"]["hits"] = {"type": "array", "items": {"$ref": _SCHEMA.format(name="Hit")}}
    for operation in LEAN:
        document["paths"].setdefault(operation.path, {})["post"] = _lean(operation)
    document["components"]["securitySchemes"] = {"jwt": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}
    document["security"] = [{"jwt": []}]
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    for operation in operations:
        _finish(operation)
    _link(operations)
    return document


def _lean(operation: LeanOperation) -> dict[str, Any]:
    def json_content(kind: type) -> dict[str, Any]:
        return {"application/json": {"schema": {"$ref": _SCHEMA.format(name=kind.__name__)}}}

    described: dict[str, Any] = {
        "tags": [operation.tag],
        "operationId": operation.operation_id,
        "description": operation.description,
        "requestBody": {"required": True, "content": json_content(operation.request)},
        "responses": {operation.status: {"description": "Done", "content": json_content(operation.answer)}},
    }
    if operation.creates:
        described["parameters"] = [_IDEMPOTENCY_KEY]
    return described


_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The same key with the same request does the work once; it is kept for 24 hours.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"^[\x21-\x7e]+$"},
}
_GATEWAY_FAULT = {
    "title": "GatewayFault",
    "type": "object",
    "description": "What the gateway in front says by itself: 401 without a valid token, 429 above the limits.",
    "properties": {"message": {"type": "string"}},
    "required": ["message"],
}
_STORABLE = {"type": "string", "pattern": "^[^\\u0000]*$"}
_SCALAR = {"anyOf": [_STORABLE, {"type": ["number", "boolean", "null"]}]}
_ITEMS = {"type": "array", "items": _SCALAR, "minItems": 1, "maxItems": 200}
_ORDERED = {"anyOf": [_STORABLE, {"type": "number"}]}
_CONDITION = {
    "title": "FilterCondition",
    "type": "object",
    "description": "What one attribute must satisfy; several operators must all hold.",
    "properties": dict.fromkeys(("eq", "ne"), _SCALAR)
    | dict.fromkeys(("gt", "gte", "lt", "lte"), _ORDERED)
    | dict.fromkeys(("in", "nin"), _ITEMS),
    "additionalProperties": False,
    "minProperties": 1,
}
_FILTERS = {"type": "array", "items": {"$ref": _SCHEMA.format(name="Filter")}, "minItems": 1}
_FILTER = {
    "title": "Filter",
    "type": "object",
    "description": (
        "All entries must hold. An entry is an attribute with a value (equal), a list (one of) or an object of "
        "operators, or `and` / `or` with a list of filters. Nested eight deep at most, with 64 conditions at most."
    ),
    "properties": {"and": _FILTERS, "or": _FILTERS},
    "propertyNames": _STORABLE,
    "additionalProperties": {"anyOf": [*_SCALAR["anyOf"], _ITEMS, {"$ref": _SCHEMA.format(name="FilterCondition")}]},
    "minProperties": 1,
    "examples": [{"year": {"gte": 2020}, "or": [{"team": "red"}, {"tags": {"in": ["urgent", "draft"]}}]}],
}


def _finish(operation: dict[str, Any]) -> None:
    """A readable summary, and problems as they really come instead of FastAPI's own validation error."""
    operation["summary"] = operation["operationId"].replace("_", " ").capitalize()
    problem = {"application/problem+json": {"schema": {"$ref": _SCHEMA.format(name="Problem")}}}
    gateway = {"application/json": {"schema": {"$ref": _SCHEMA.format(name="GatewayFault")}}}
    operation["responses"].pop("422", None)
    operation["responses"]["default"] = {"description": "A problem", "content": problem | gateway}
    if operation["operationId"] in PUBLIC:
        operation["security"] = []


def _link(operations: list[dict[str, Any]]) -> None:
    """Says which operations take the id of what was just made."""
    made = {
        "create_collection": ("201", "collection_id", "$response.body#/id"),
        "create_documents": ("201", "document_id", "$response.body#/items/0/document/id"),
        "create_template": ("201", "template_id", "$response.body#/template/id"),
        "create_session": ("201", "session_id", "$response.body#/id"),
        "create_integration": ("201", "integration_id", "$response.body#/id"),
        "ask_turn": ("202", "turn_id", "$response.body#/id"),
    }
    for operation in operations:
        if operation["operationId"] not in made:
            continue
        status, name, source = made[operation["operationId"]]
        operation["responses"][status]["links"] = {
            other["operationId"]: {"operationId": other["operationId"], "parameters": {name: source}}
            for other in operations
            if any(parameter["name"] == name and parameter["in"] == "path" for parameter in other.get("parameters", []))
        }


def main() -> None:
    """Writes the document to the file that is named: `python -m functions.api.openapi docs/openapi.json`."""
    import json
    import sys
    from pathlib import Path

    from functions.api.app import app

    Path(sys.argv[1]).write_text(json.dumps(build_openapi(app), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
