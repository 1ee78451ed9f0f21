"""What routes share: who asks, how pages are asked for, and an optional idempotency key.

Routes are `async` and call blocking code: a Lambda environment serves one request at a time, so a thread pool would
only add its cost.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Header, Query, Request
from pydantic import Field

from spandrel import http


def _user_id(request: Request) -> str:
    event: dict[str, Any] = request.scope.get("aws.event", {})
    return http.user_id(event)


UserId = Annotated[str, Depends(_user_id)]
Limit = Annotated[int, Query(ge=1, le=100, description="Items on a page.")]
_Cursor = Annotated[str, Field(max_length=64, json_schema_extra={"pattern": "^[A-Za-z0-9_-]{21}[AQgw]$"})]
Cursor = Annotated[_Cursor | None, Query(description="`next_cursor` of the page before.")]
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
