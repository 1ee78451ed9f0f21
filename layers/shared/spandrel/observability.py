"""The logger and the metrics that every function shares. Powertools reads service, level and namespace itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from spandrel.left_out import without

# Powertools brings its Tracer and a reader of JMESPath (for correlation ids, which the invocation's id is here).
LEFT_OUT = ("aws_lambda_powertools.tracing", "aws_lambda_powertools.utilities.jmespath_utils")
with without(*LEFT_OUT):
    from aws_lambda_powertools import Logger, Metrics
    from aws_lambda_powertools.metrics import MetricUnit

T = TypeVar("T")
logger = Logger(utc=True)
metrics = Metrics()
metrics.provider.namespace = metrics.provider.namespace or "Spandrel"  # a deployment names its own


def count(name: str, value: int = 1) -> None:
    """Adds to a metric that the invocation's end publishes (CloudWatch embedded metric format)."""
    metrics.add_metric(name=name, unit=MetricUnit.Count, value=value)


def milliseconds(name: str, value: float) -> None:
    metrics.add_metric(name=name, unit=MetricUnit.Milliseconds, value=value)


def publish_metrics(handler: Callable[[dict[str, Any], Any], T]) -> Callable[[dict[str, Any], Any], T]:
    """Publishes at the end what the invocation measured. Powertools' own decorator warns where that is nothing."""

    @wraps(handler)
    def invoke(event: dict[str, Any], context: Any) -> T:
        try:
            return handler(event, context)
        finally:
            if metrics.provider.metric_set:
                metrics.flush_metrics()

    return invoke
