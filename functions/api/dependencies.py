"""What routes share: who asks, how pages are asked for, and an optional idempotency key.

Routes are `async` and call blocking code: a Lambda environment serves one request at a time, so a thread pool would
only add its cost.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Header, Query, Request
from pydantic import Field

from spandrel import http
from spandrel.prompts.prepare import User


def _user_id(request: Request) -> str:
    event: dict[str, Any] = request.scope.get("aws.event", {})
    return http.user_id(event)


def _current_user(request: Request) -> User:
    event: dict[str, Any] = request.scope.get("aws.event", {})
    return User(http.user_id(event), http.user_name(event))


UserId = Annotated[str, Depends(_user_id)]
CurrentUser = Annotated[User, Depends(_current_user)]
Limit = Annotated[int, Query(ge=1, le=100, description="Items on a page; fewer come where they are large.")]
_Cursor = Annotated[str, Field(max_length=64, json_schema_extra={"pattern": "^[A-Za-z0-9_-]{21}[AQgw]$"})]
Cursor = Annotated[_Cursor | None, Query(description="`next_cursor` of the page before.")]
Before = Annotated[int | None, Query(ge=0, le=2**31 - 1, description="`next_before` of the page before.")]
IdempotencyHeader = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="The same key with the same request does the work once; it is kept for 24 hours.",
    ),
]
