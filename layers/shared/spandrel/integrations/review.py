"""The tools of an integration as their owner sees and reviews them."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from uuid import UUID

from spandrel.database import Database
from spandrel.errors import InvalidRequestError, ToolChangedError
from spandrel.integrations import store
from spandrel.integrations.records import Decision, IntegrationTool, ToolPolicy, ToolStatus
from spandrel.integrations.store import queries
from spandrel.pagination import Page, fitting


@dataclass(frozen=True, slots=True)
class ToolReview:
    database: Database

    def page(
        self,
        user_id: str,
        integration_id: UUID,
        limit: int,
        cursor: str | None,
        statuses: list[ToolStatus] | None = None,
    ) -> Page[IntegrationTool]:
        """By name."""
        parameters = {
            "integration_id": integration_id,
            "statuses": statuses,
            "after": _decode(cursor),
            "limit": limit + 1,
        }
        with self.database.transaction(user_id) as tx:
            store.find_integration(tx, integration_id)
            rows = tx.execute(queries.list_tools, parameters).fetchall()
        tools = fitting([store.tool(row) for row in rows], limit)
        return Page(tools, _encode(tools[-1].name) if len(rows) > len(tools) else None)

    def review(
        self, user_id: str, integration_id: UUID, name: str, decision: Decision, schema_hash: str
    ) -> IntegrationTool:
        """`schema_hash`: of the tool as it was looked at. Raises `ToolChangedError` if it is another by now."""
        parameters = {
            "integration_id": integration_id,
            "name": name,
            "approve": decision == "approve",
            "schema_hash": bytes.fromhex(schema_hash),
        }
        with self.database.transaction(user_id) as tx:
            store.lock(tx, integration_id)  # before its tools, as a check does it
            store.find_tool(tx, integration_id, name)
            if tx.execute(queries.review_tool, parameters).fetchone() is None:
                raise ToolChangedError
            return store.find_tool(tx, integration_id, name)

    def change(
        self,
        user_id: str,
        integration_id: UUID,
        name: str,
        *,
        capabilities: list[str] | None = None,
        policy: ToolPolicy | None = None,
    ) -> IntegrationTool:
        """What it serves, and whether its owner is asked before it is called. None leaves it as it is."""
        parameters = {
            "integration_id": integration_id,
            "name": name,
            "capabilities": None if capabilities is None else sorted(set(capabilities)),
            "policy": policy,
        }
        with self.database.transaction(user_id) as tx:
            store.lock(tx, integration_id)
            tx.execute(queries.change_tool, parameters)
            return store.find_tool(tx, integration_id, name)


def _encode(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode().rstrip("=")


def _decode(cursor: str | None) -> str | None:
    if cursor is None:
        return None
    try:
        name = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
        if "\0" in name:  # Postgres holds no NUL
            raise ValueError
    except (binascii.Error, ValueError):
        raise InvalidRequestError("The cursor is not one that this API gave. Leave it out to begin anew.") from None
    return name
