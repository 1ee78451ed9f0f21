"""The FastAPI application: routes, and how errors become problem details."""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from functions.api.openapi import build_openapi
from functions.api.routes import (
    approvals,
    collections,
    conversations,
    documents,
    events,
    health,
    integrations,
    realtime,
    sessions,
    templates,
    turns,
    usage,
)
from spandrel import __version__
from spandrel.errors import InvalidJsonError, InvalidRequestError, NotFoundError, SpandrelError, problem
from spandrel.observability import logger

ROUTES = (
    approvals,
    collections,
    conversations,
    documents,
    events,
    health,
    integrations,
    realtime,
    sessions,
    templates,
    turns,
    usage,
)  # fmt: skip


class MethodNotAllowedError(SpandrelError):
    """This path does not take this method."""

    code = "method_not_allowed"
    status = 405


class UnsupportedMediaTypeError(SpandrelError):
    """The request body must be JSON. Send it with the header "Content-Type: application/json"."""

    code = "unsupported_media_type"
    status = 415


def _answer(request: Request, error: SpandrelError, **headers: str) -> JSONResponse:
    event: dict[str, Any] = request.scope.get("aws.event", {})
    request_id = event.get("requestContext", {}).get("requestId")
    if error.status >= 500:
        logger.warning("request failed", extra={"code": error.code, "cause": repr(error.__cause__)})
    return JSONResponse(
        problem(error, instance=f"urn:spandrel:request:{request_id}" if request_id else None),
        error.status,
        headers=headers,
        media_type="application/problem+json",
    )


async def _spandrel_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, SpandrelError)
    wait = error.members.get("retry_after")
    return _answer(request, error, **({"Retry-After": str(math.ceil(wait))} if wait else {}))


async def _validation_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    faults = [{"field": ".".join(map(str, each["loc"])), "reason": each["msg"]} for each in error.errors()]
    if any(each["type"] == "json_invalid" for each in error.errors()):
        return _answer(request, InvalidJsonError())
    if error.body and isinstance(error.body, bytes):  # left as it came, because nobody said that it is JSON
        return _answer(request, UnsupportedMediaTypeError())
    told = "; ".join(f"{fault['field']}: {fault['reason']}" for fault in faults)
    return _answer(request, InvalidRequestError(told, errors=faults))


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if error.status_code not in (NotFoundError.status, MethodNotAllowedError.status):
        return _answer(request, InvalidRequestError(str(error.detail)))
    if allowed := _methods(request):
        return _answer(request, MethodNotAllowedError(), Allow=", ".join(allowed))
    return _answer(request, NotFoundError("There is no such path."))


def _methods(request: Request) -> list[str]:
    """What the path takes (RFC 9110, 15.5.6), also where another function serves it; empty if there is no such path."""
    return next((methods for path, methods in _paths() if path.fullmatch(request.url.path)), [])


@lru_cache(maxsize=1)
def _paths() -> list[tuple[re.Pattern[str], list[str]]]:
    found = build_openapi(app)["paths"].items()
    return [(re.compile(re.sub(r"{\w+}", "[^/]+", path)), sorted(map(str.upper, methods))) for path, methods in found]


async def _unforeseen(request: Request, error: Exception) -> JSONResponse:
    logger.exception("unhandled", exc_info=error)
    return _answer(request, SpandrelError())


def build_app() -> FastAPI:
    # The document is served by a route of its own; no interactive pages in a Lambda function.
    app = FastAPI(
        title="Spandrel", version=__version__, openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    app.add_exception_handler(SpandrelError, _spandrel_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unforeseen)
    for module in ROUTES:
        app.include_router(module.router, prefix="/v1")
    app.include_router(templates.checks, prefix="/v1")
    app.include_router(integrations.finding, prefix="/v1")

    @app.get("/v1/openapi.json", tags=["description"], operation_id="get_openapi")
    async def openapi_document() -> dict[str, Any]:
        """This document. Needs no token."""
        return build_openapi(app)

    return app


app = build_app()
