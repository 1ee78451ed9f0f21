"""API Gateway HTTP API events (payload 2.0) for the lean handlers: who asks, what, and the answer.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from spandrel.errors import InvalidJsonError, InvalidRequestError, SpandrelError, UnauthenticatedError, problem
from spandrel.observability import logger

T = TypeVar("T")
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
Response = dict[str, Any]


def user_id(event: dict[str, Any]) -> str:
    """The verified `sub` claim, as the gateway's JWT authorizer passes it on."""
    try:
        subject = event["requestContext"]["authorizer"]["jwt"]["claims"]["sub"]
    except (KeyError, TypeError):
        raise UnauthenticatedError from None
    if not isinstance(subject, str) or not subject or "\0" in subject:  # Postgres holds no NUL
        raise UnauthenticatedError
    return subject


def user_name(event: dict[str, Any]) -> str:
    """What the token calls the user: a name, else an e-mail address, else nothing."""
    claims = event["requestContext"]["authorizer"]["jwt"]["claims"]
    return str(claims.get("name") or claims.get("email") or "")


def idempotency_key(event: dict[str, Any]) -> str | None:
    """The Idempotency-Key header. Raises `InvalidRequestError` for one that no key can be."""
    key: str | None = (event.get("headers") or {}).get("idempotency-key")
    if key is not None and not _KEY.fullmatch(key):
        raise InvalidRequestError("Idempotency-Key takes 1 to 255 visible ASCII characters.")
    return key


def body(event: dict[str, Any], kind: type[T]) -> T:
    """The request body as `kind`. Raises `InvalidJsonError`, or `InvalidRequestError` naming the field at fault."""
    raw: str | bytes = event.get("body") or ""
    try:
        if event.get("isBase64Encoded"):
            raw = base64.b64decode(raw, validate=True)
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as error:
        raise InvalidRequestError(str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, binascii.Error) as error:
        raise InvalidJsonError(f"The request body is not valid JSON: {error}") from error


def respond(event: dict[str, Any], use_case: Callable[[], Any], status: int = 200) -> Response:
    """`status` with what `use_case` returns, or the problem that it raised."""
    try:
        return _response(status, "application/json", use_case())
    except SpandrelError as error:
        return _problem(event, error)
    except Exception:  # noqa: BLE001 - the caller gets a typed error whatever happens, the log the rest
        logger.exception("unhandled")
        return _problem(event, SpandrelError())


def _problem(event: dict[str, Any], error: SpandrelError) -> Response:
    if error.status >= 500:
        logger.warning("request failed", extra={"code": error.code, "cause": repr(error.__cause__)})
    request_id = event.get("requestContext", {}).get("requestId")
    instance = f"urn:spandrel:request:{request_id}" if request_id else None
    return _response(error.status, "application/problem+json", problem(error, instance=instance))


def _response(status: int, content_type: str, content: Any) -> Response:
    return {
        "statusCode": status,
        "headers": {"content-type": content_type},
        "body": msgspec.json.encode(content).decode(),
    }
