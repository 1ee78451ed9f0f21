"""The WebSocket API: connections opened by a ticket, closed, and what clients send over them.

What a message comes to is the route's response; events come by `event_broadcast`.
"""

from __future__ import annotations

import base64
from typing import Any

import msgspec

from spandrel import wiring
from spandrel.errors import SpandrelError, problem
from spandrel.observability import count, logger, publish_metrics

Response = dict[str, Any]


def connect(event: dict[str, Any], connection_id: str) -> Response:
    """Any status but 200 refuses the connection."""
    try:
        wiring.connections().open(connection_id, (event.get("queryStringParameters") or {}).get("ticket"))
    except SpandrelError as error:
        logger.info("refused", extra={"code": error.code, "cause": repr(error.__cause__)})
        return {"statusCode": error.status, "body": msgspec.json.encode(problem(error)).decode()}
    count("Realtime.connected")
    logger.info("connected", extra={"connection_id": connection_id})
    return {"statusCode": 200}


def disconnect(event: dict[str, Any], connection_id: str) -> Response:
    wiring.connections().close(connection_id)
    code = event["requestContext"].get("disconnectStatusCode")
    logger.info("disconnected", extra={"connection_id": connection_id, "close_code": code})
    return {"statusCode": 200}


def receive(event: dict[str, Any], connection_id: str) -> Response:
    text = event.get("body") or ""
    message = base64.b64decode(text) if event.get("isBase64Encoded") else text.encode("utf-8", "surrogatepass")
    answered = wiring.actions().answer(connection_id, message)
    count(f"Realtime.{answered.code or answered.action}")
    logger.info("answered", extra={"action": answered.action, "code": answered.code})
    return {"statusCode": 200} | ({"body": answered.frame.decode()} if answered.frame else {})


# Not by the route's key: a client can send "$connect" or "$disconnect" as its action, and is given that route.
EVENTS = {"CONNECT": connect, "DISCONNECT": disconnect}


@logger.inject_lambda_context
@publish_metrics
def handler(event: dict[str, Any], context: Any) -> Response:
    request = event["requestContext"]
    return EVENTS.get(request["eventType"], receive)(event, request["connectionId"])
