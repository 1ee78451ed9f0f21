"""CloudFormation custom resource: bring the schema up before the functions that need it serve."""

from __future__ import annotations

from typing import Any

from spandrel import wiring
from spandrel.observability import logger


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: Any) -> None:
    wiring.schema_resource().handle(event, str(context.log_stream_name))
