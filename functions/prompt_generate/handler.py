"""`POST /v1/prompts`: a prompt is composed, and no session made of it."""

from __future__ import annotations

from typing import Any

from spandrel import http, wiring
from spandrel.observability import count, logger, publish_metrics
from spandrel.prompts.models import PromptAnswer, PromptRequest
from spandrel.prompts.prepare import User


@logger.inject_lambda_context
@publish_metrics
def handler(event: dict[str, Any], context: Any) -> http.Response:
    def generate() -> PromptAnswer:
        user = User(http.user_id(event), http.user_name(event))
        answer = wiring.generate_prompt().run(user, http.body(event, PromptRequest))
        count("Prompts.hit" if answer.cache.hit else "Prompts.miss")
        logger.info("composed", extra={"template": answer.template_name, "cache": answer.cache.reason})
        return answer

    return http.respond(event, generate)
