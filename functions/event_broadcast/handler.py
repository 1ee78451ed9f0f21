"""Queue of users who have news → their connections: one pump for the whole batch, each user once."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from spandrel import wiring
from spandrel.errors import SpandrelError
from spandrel.events.broadcast.models import users_of
from spandrel.observability import count, logger, milliseconds, publish_metrics


@logger.inject_lambda_context
@publish_metrics
def handler(event: dict[str, Any], context: Any) -> dict[str, list[dict[str, str]]]:
    records = event["Records"]
    user_ids, failed = users_of((record["messageId"], record["body"]) for record in records)
    try:
        report = wiring.pump().run(user_ids, lambda: context.get_remaining_time_in_millis() / 1000)
    except SpandrelError as error:  # everything that was sent is sent again, by the same seq
        logger.warning("pump failed", extra={"code": error.code, "users": len(user_ids)})
        failed = [record["messageId"] for record in records]
    else:
        for name in ("events", "gone", "faults", "throttled", "closed"):
            count(f"Broadcast.{name}", getattr(report, name))
        milliseconds("Broadcast.lag", report.lag * 1000)
        logger.info("pump", extra=asdict(report) | {"users": len(user_ids)})
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}
