"""The system's health for those who are signed in: evidence with its age, and nothing of other users."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from spandrel.database import Database
from spandrel.health.models import ComponentHealth, HealthDetails, State
from spandrel.health.store import queries

STALE_SECONDS = 180
"""Three rounds missed."""


@dataclass(frozen=True, slots=True)
class Details:
    """`names` of the components that there should be."""

    database: Database
    names: Sequence[str]

    def run(self, user_id: str) -> HealthDetails:
        with self.database.transaction(user_id, block=False) as tx:
            version = tx.execute(queries.schema_version)
            latest = tx.execute(queries.latest_components, {"names": list(self.names)})
            counted = tx.execute(queries.count_by_status)
        components = [_component(row) for row in latest.fetchall()]
        version_row = version.fetchone()
        return HealthDetails(
            status="ok" if all(each.state == "ok" for each in components) else "impaired",
            schema_version=version_row["version"] if version_row else 0,
            components=components,
            integrations={row["status"]: row["number"] for row in counted.fetchall()},
        )


def _component(row: dict[str, Any]) -> ComponentHealth:
    age = row["age_seconds"]
    return ComponentHealth(
        name=row["name"],
        state=_state(row["ok"], age),
        age_seconds=None if age is None else round(max(age, 0.0), 1),
        checked_at=row["checked_at"],
        duration_ms=row["duration_ms"],
        detail=row["detail"] or {},
        code=row["code"],
    )


def _state(ok: bool | None, age: float | None) -> State:
    if ok is None or age is None:
        return "never"
    if age > STALE_SECONDS:
        return "stale"
    return "ok" if ok else "failed"
