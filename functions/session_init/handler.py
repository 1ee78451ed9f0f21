"""`POST /v1/sessions`: a session is begun from a template."""

from __future__ import annotations

from typing import Any

from spandrel import http, wiring
from spandrel.observability import count, logger, publish_metrics
from spandrel.prompts.prepare import User
from spandrel.sessions.begin_models import SessionAnswer, SessionRequest


@logger.inject_lambda_context
@publish_metrics
def handler(event: dict[str, Any], context: Any) -> http.Response:
    def begin() -> SessionAnswer:
        user = User(http.user_id(event), http.user_name(event))
        request, key = http.body(event, SessionRequest), http.idempotency_key(event)
        answer = wiring.begin_session().run(user, request, key)
        count("Sessions.begun")
        logger.info(
            "begun", extra={"session_id": str(answer.id), "status": answer.status, "cache": answer.cache.reason}
        )
        return answer

    return http.respond(event, begin, 201)
