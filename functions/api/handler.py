"""Every HTTP operation that has no function of its own: FastAPI behind Mangum."""

from __future__ import annotations

from typing import Any

from mangum import Mangum

from functions.api.app import app
from spandrel.observability import logger

adapter = Mangum(app, lifespan="off", text_mime_types=["text/", "application/json", "application/problem+json"])


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    if event["requestContext"]["http"]["method"] == "OPTIONS":  # a browser's preflight: the gateway adds what it allows
        return {"statusCode": 204}
    response = adapter(event, context)
    logger.info("answered", extra={"route": event.get("routeKey"), "status": response["statusCode"]})
    return response
