"""Queue of users who have news → their connections."""

from __future__ import annotations

from typing import Any


def handler(event: dict[str, Any], context: Any) -> dict[str, list[Any]]:
    return {"batchItemFailures": []}
