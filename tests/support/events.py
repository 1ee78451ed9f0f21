"""The events that AWS hands to the functions."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4


@dataclass(slots=True)
class Context:
    """A Lambda context with time left."""

    seconds: float = 300
    function_name: str = "test"
    memory_limit_in_mb: int = 256
    invoked_function_arn: str = "arn:aws:lambda:eu-central-1:123456789012:function:test"
    aws_request_id: str = field(default_factory=lambda: uuid4().hex)
    log_stream_name: str = "2026/11/23/[$LATEST]test"

    def get_remaining_time_in_millis(self) -> int:
        return int(self.seconds * 1000)


def http_event(
    method: str,
    path: str,
    *,
    user: str | None = "ada",
    body: object = None,
    raw: str | None = None,
    query: dict[str, Any] | None = None,
    headers: dict[str, str] | None = None,
) -> dict[str, Any]:
    """API Gateway HTTP API, payload 2.0, past its JWT authorizer. `raw` is a body that need not be JSON."""
    context: dict[str, Any] = {
        "accountId": "123456789012",
        "apiId": "api",
        "domainName": "api.example.com",
        "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "test"},
        "requestId": "request-1",
        "routeKey": f"{method} {path}",
        "stage": "$default",
        "time": "23/Nov/2026:00:00:00 +0000",
        "timeEpoch": 1795392000000,
    }
    if user is not None:
        context["authorizer"] = {"jwt": {"claims": {"sub": user}, "scopes": None}}
    content = raw if raw is not None else None if body is None else json.dumps(body)
    return {
        "version": "2.0",
        "routeKey": f"{method} {path}",
        "rawPath": path,
        "rawQueryString": urlencode(query or {}, doseq=True),
        "headers": {"content-type": "application/json", "host": "api.example.com"} | (headers or {}),
        "requestContext": context,
        "body": content,
        "isBase64Encoded": False,
    }


def sqs_event(*bodies: str) -> dict[str, Any]:
    records = [
        {
            "messageId": f"message-{number}",
            "receiptHandle": "handle",
            "body": body,
            "attributes": {
                "ApproximateReceiveCount": "1",
                "SentTimestamp": "1795392000000",
                "SenderId": "sender",
                "ApproximateFirstReceiveTimestamp": "1795392000001",
            },
            "messageAttributes": {},
            "md5OfBody": "",
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:eu-central-1:123456789012:documents",
            "awsRegion": "eu-central-1",
        }
        for number, body in enumerate(bodies)
    ]
    return {"Records": records}
