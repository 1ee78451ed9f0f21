"""Every minute: turns that lost their worker go back in line, sessions that nobody uses expire."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from spandrel import wiring
from spandrel.observability import count, logger, publish_metrics


@logger.inject_lambda_context
@publish_metrics
def handler(event: dict[str, Any], context: Any) -> dict[str, int]:
    report = asdict(wiring.session_upkeep().run())
    for name, number in report.items():
        count(f"SessionUpkeep.{name}", number)
    logger.info("upkeep", extra=report)
    return report
