"""Every minute: purge deleted collections, index what has grown large."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from spandrel import wiring
from spandrel.observability import count, logger, publish_metrics

MARGIN_SECONDS = 15


@logger.inject_lambda_context
@publish_metrics
def handler(event: dict[str, Any], context: Any) -> dict[str, int]:
    seconds = context.get_remaining_time_in_millis() / 1000 - MARGIN_SECONDS
    report = asdict(wiring.upkeep().run(seconds))
    for name, number in report.items():
        count(f"Upkeep.{name}", number)
    logger.info("upkeep", extra=report)
    return report
