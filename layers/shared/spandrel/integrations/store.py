"""The SQL of integrations, their tools and checks, run on an open transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from spandrel.database import Transaction
from spandrel.errors import NotFoundError
from spandrel.integrations.judge import Health
from spandrel.integrations.records import (
    AuthSummary,
    Check,
    Integration,
    IntegrationTool,
    Server,
    TrustedTool,
    Window,
)
from spandrel.integrations.tools import KnownTool
from spandrel.sql import Queries

queries = Queries.beside(__file__)
T = TypeVar("T")
Row = dict[str, Any]


def integration(row: Row) -> Integration:
    window = None if row["maintenance_from"] is None else Window(row["maintenance_from"], row["maintenance_until"])
    named = {name: row[name] for name in _SAME}
    return Integration(
        **named,
        auth=AuthSummary(**row["auth"], secret_set_at=row["secret_set_at"]),
        maintenance=window,
        server=_server(row["server"]),
    )


_SAME = (
    "id", "slug", "name", "url", "transport", "ca_certificate", "capabilities", "enabled", "status", "reason", "detail",
    "status_changed_at", "failures", "flapping", "check_interval_seconds", "checked_at", "next_check_at", "created_at",
    "updated_at",
)  # fmt: skip


def _server(found: Row | None) -> Server | None:
    if found is None:
        return None
    not_after = found["tls_not_after"]
    return Server(**found | {"tls_not_after": datetime.fromisoformat(not_after) if not_after else None})


def health(row: Row) -> Health:
    starts, until = row["maintenance_from"], row["maintenance_until"]
    return Health(
        status=row["status"],
        reason=row["reason"],
        detail=row["detail"],
        recent=tuple(row["recent"]),
        failures=row["failures"],
        turning_points=tuple(row["turning_points"]),
        flapping=row["flapping"],
        maintenance=None if starts is None else (starts, until),
        in_maintenance=row["in_maintenance"],
        tls_notices=row["tls_notices"],
        interval=row["check_interval_seconds"],
    )


def tool(row: Row) -> IntegrationTool:
    return IntegrationTool(
        name=row["name"],
        title=row["title"],
        description=row["description"],
        input_schema=row["input_schema"],
        output_schema=row["output_schema"],
        annotations=row["annotations"],
        schema_hash=row["schema_hash"].hex(),
        capabilities=row["capabilities"],
        status=row["status"],
        policy=row["policy"],
        rejected=row["rejected_hash"] == row["schema_hash"],
        approved=None if row["approved"] is None else TrustedTool(**row["approved"]),
        first_seen_at=row["first_seen_at"],
        updated_at=row["updated_at"],
    )


def known_tool(row: Row) -> KnownTool:
    return KnownTool(
        name=row["name"],
        title=row["title"],
        description=row["description"],
        input_schema=row["input_schema"],
        output_schema=row["output_schema"],
        annotations=row["annotations"],
        schema_hash=row["schema_hash"],
        approved_hash=row["approved_hash"],
        rejected_hash=row["rejected_hash"],
        approved=row["approved"],
        capabilities=tuple(row["capabilities"]),
        status=row["status"],
    )


def find_integration(tx: Transaction, integration_id: UUID) -> Integration:
    return integration(find_row(tx, integration_id))


def find_row(tx: Transaction, integration_id: UUID) -> Row:
    """All that is kept of it, the sealed secret among it."""
    return found(tx.execute(queries.find_integration, {"integration_id": integration_id}).fetchone())


def lock(tx: Transaction, integration_id: UUID) -> Row:
    return found(tx.execute(queries.lock_integration, {"integration_id": integration_id}).fetchone())


def find_tool(tx: Transaction, integration_id: UUID, name: str) -> IntegrationTool:
    row = tx.execute(queries.find_tool, {"integration_id": integration_id, "name": name}).fetchone()
    return tool(found(row, "tool"))


def known_tools(tx: Transaction, integration_ids: Sequence[UUID]) -> dict[UUID, list[KnownTool]]:
    rows = tx.execute(queries.known_tools, {"integration_ids": list(integration_ids)}).fetchall()
    tools: dict[UUID, list[KnownTool]] = {integration_id: [] for integration_id in integration_ids}
    for row in rows:
        tools[row["integration_id"]].append(known_tool(row))
    return tools


def checks(rows: Sequence[Row]) -> list[Check]:
    return [Check(**row) for row in rows]


def record_checks(tx: Transaction, results: Sequence[Row]) -> set[UUID]:
    """Of those that were written; the others' integrations have changed since they were judged."""
    rows = tx.execute(queries.record_checks, {"results": Jsonb(list(results), dumps=msgspec.json.encode)}).fetchall()
    return {row["id"] for row in rows}


def found(row: T | None, kind: str = "integration") -> T:
    if row is None:
        raise NotFoundError(f"There is no such {kind}, or it is not yours.")
    return row
