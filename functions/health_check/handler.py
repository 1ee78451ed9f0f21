"""Every minute: each component is looked after within its share of the time, and leaves its evidence."""

from __future__ import annotations

from typing import Any

from spandrel.observability import count, logger, milliseconds, publish_metrics
from spandrel.wiring import integrations

MARGIN_SECONDS = 10
ROUND_SECONDS = 50
"""The next round comes in a minute."""


@logger.inject_lambda_context
@publish_metrics
def handler(event: dict[str, Any], context: Any) -> dict[str, bool]:
    seconds = min(context.get_remaining_time_in_millis() / 1000 - MARGIN_SECONDS, ROUND_SECONDS)
    outcomes = integrations.health_round().run(seconds)
    for outcome in outcomes:
        count(f"HealthCheck.{outcome.name}.failed", int(not outcome.ok))
        milliseconds(f"HealthCheck.{outcome.name}.duration", outcome.duration_ms)
        for name, number in outcome.detail.items():
            count(f"HealthCheck.{outcome.name}.{name}", number)
        logger.info("component", extra={"component": outcome.name, "ok": outcome.ok, "detail": outcome.detail})
    count("HealthCheck.failed", sum(not outcome.ok for outcome in outcomes))
    return {outcome.name: outcome.ok for outcome in outcomes}
