"""`POST /v1/search`: embed the query, search, answer."""

from __future__ import annotations

from typing import Any

from spandrel import http, wiring
from spandrel.knowledge.search.models import SearchAnswer, SearchRequest
from spandrel.observability import logger, milliseconds, publish_metrics


@logger.inject_lambda_context
@publish_metrics
def handler(event: dict[str, Any], context: Any) -> http.Response:
    def search() -> SearchAnswer:
        user_id = http.user_id(event)
        answer = wiring.search().run(user_id, http.body(event, SearchRequest))
        milliseconds(f"Search.{answer.mode}", answer.timings.total_ms)
        logger.info("searched", extra={"mode": answer.mode, "found": answer.found, "ms": answer.timings.total_ms})
        return answer

    return http.respond(event, search)
