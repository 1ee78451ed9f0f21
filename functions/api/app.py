"""The FastAPI application: routes, and how errors become problem details."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from functions.api.openapi import build_openapi
from functions.api.routes import collections, documents, health
from spandrel.errors import InvalidJsonError, InvalidRequestError, NotFoundError, SpandrelError, problem
from spandrel.observability import logger


class MethodNotAllowedError(SpandrelError):
    """This path does not take this method."""

    code = "method_not_allowed"
    status = 405


def _answer(request: Request, error: SpandrelError) -> JSONResponse:
    event: dict[str, Any] = request.scope.get("aws.event", {})
    request_id = event.get("requestContext", {}).get("requestId")
    if error.status >= 500:
        logger.warning("request failed", extra={"code": error.code, "cause": repr(error.__cause__)})
    return JSONResponse(
        problem(error, instance=f"urn:spandrel:request:{request_id}" if request_id else None),
        error.status,
        media_type="application/problem+json",
    )


async def _spandrel_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, SpandrelError)
    return _answer(request, error)


async def _validation_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    faults = [{"field": ".".join(map(str, each["loc"])), "reason": each["msg"]} for each in error.errors()]
    if any(each["type"] == "json_invalid" for each in error.errors()):
        return _answer(request, InvalidJsonError())
    told = "; ".join(f"{fault['field']}: {fault['reason']}" for fault in faults)
    return _answer(request, InvalidRequestError(told, errors=faults))


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if error.status_code == MethodNotAllowedError.status:
        return _answer(request, MethodNotAllowedError())
    if error.status_code == NotFoundError.status:
        return _answer(request, NotFoundError("There is no such path."))
    return _answer(request, InvalidRequestError(str(error.detail)))


async def _unforeseen(request: Request, error: Exception) -> JSONResponse:
    logger.exception("unhandled", exc_info=error)
    return _answer(request, SpandrelError())


def build_app() -> FastAPI:
    # The document is served by a route of its own; no interactive pages in a Lambda function.
    app = FastAPI(title="Spandrel", version="0.1.0", openapi_url=None, docs_url=None, redoc_url=None)
    app.add_exception_handler(SpandrelError, _spandrel_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unforeseen)
    for module in (collections, documents, health):
        app.include_router(module.router, prefix="/v1")

    @app.get("/v1/openapi.json", include_in_schema=False)
    async def openapi_document() -> JSONResponse:
        return JSONResponse(build_openapi(app))

    return app


app = build_app()
