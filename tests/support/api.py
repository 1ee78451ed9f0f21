"""The HTTP API as its clients see it, through the handlers: each path goes to the function that it is routed to."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jsonschema_rs

from tests.support.events import Context, http_event


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    content_type: str
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def code(self) -> str:
        """Of a problem, which every failure must be (RFC 9457)."""
        assert self.content_type == "application/problem+json", self.text
        body = self.json
        assert body["status"] == self.status
        assert {"type", "title", "detail", "code"} <= body.keys()
        return str(body["code"])


def call(method: str, path: str, *, user: str | None = "ada", **request: Any) -> Answer:
    from functions.api.handler import handler as api
    from functions.prompt_generate.handler import handler as prompt_generate
    from functions.session_init.handler import handler as session_init
    from functions.vector_search.handler import handler as vector_search

    event = http_event(method, path, user=user, **request)
    lean: dict[tuple[str, str], Callable[..., Any]] = {
        ("POST", "/v1/search"): vector_search,
        ("POST", "/v1/sessions"): session_init,
        ("POST", "/v1/prompts"): prompt_generate,
    }
    function = lean.get((method, path), api)
    response: dict[str, Any] = function(event, Context())
    headers = {name.lower(): value for name, value in response.get("headers", {}).items()}
    return Answer(response["statusCode"], headers.get("content-type", ""), response.get("body") or "")


@lru_cache(maxsize=1)
def document() -> dict[str, Any]:
    from functions.api.app import app
    from functions.api.openapi import build_openapi

    return build_openapi(app)


def operations() -> dict[str, tuple[str, str, dict[str, Any]]]:
    """`operationId` to method, path and operation."""
    return {
        operation["operationId"]: (method.upper(), path, operation)
        for path, methods in document()["paths"].items()
        for method, operation in methods.items()
    }


def validate(operation_id: str, answer: Answer) -> None:
    """Holds an answer to its operation's schema: as a success if there is one for its status, else as a problem."""
    _, _, operation = operations()[operation_id]
    response = operation["responses"].get(str(answer.status), operation["responses"]["default"])
    content = response.get("content", {})
    if not content:
        assert answer.text in ("", "null")
        return
    schema = content[answer.content_type]["schema"] | {"components": document()["components"]}
    jsonschema_rs.Draft202012Validator(schema, validate_formats=True).validate(answer.json)
