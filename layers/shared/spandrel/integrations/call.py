"""A tool called for a turn: as it is at this moment, with arguments that its schema allows.

Whatever comes of it is text for the model: it can only go on if it is told why something could not be done.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from spandrel.database import Database
from spandrel.errors import SpandrelError, ToolCallError
from spandrel.integrations.arguments import faults
from spandrel.integrations.check import target
from spandrel.integrations.credentials import Credentials
from spandrel.integrations.models import Reason
from spandrel.integrations.ports import McpCaller
from spandrel.integrations.store import queries
from spandrel.observability import count, logger
from spandrel.prompts.capabilities import obstacle

BROKEN = {Reason.DNS, Reason.REFUSED, Reason.TIMEOUT, Reason.CONNECTION, Reason.AUTH_REQUIRED, Reason.AUTH_SERVER,
          Reason.TLS, Reason.TLS_EXPIRED, Reason.TLS_NAME, Reason.TLS_UNTRUSTED, Reason.SERVER_ERROR}  # fmt: skip
"""What makes a check due at once: the next turn should not be offered what this one could not reach."""


@dataclass(frozen=True, slots=True)
class CallTool:
    database: Database
    caller: Callable[[], McpCaller]
    credentials: Callable[[], Credentials]

    def call(
        self, user_id: str, integration: str, tool: str, arguments: dict[str, Any], *, key: str, timeout: float
    ) -> str:
        """`key` names this very call, and is the same when it is made again. `timeout` in seconds."""
        row = self._find(user_id, integration, tool)
        if row is None or (why := obstacle(row)):
            count("ToolCalls.unavailable")
            return f"Error: {integration}.{tool} cannot be called now ({why if row else 'it is gone'})."
        if wrong := faults(row["input_schema"], arguments):
            count("ToolCalls.invalid")
            return "Error: the arguments do not fit the tool's schema. " + " ".join(wrong)
        try:
            server = target(self.credentials(), row)
            result = self.caller().call(server, tool, arguments, timeout=timeout, idempotency_key=key)
        except ToolCallError as error:
            self._failed(user_id, row, error)
            return f"Error: {error.detail}"
        except SpandrelError as error:
            logger.warning("tool not called", extra={"code": error.code, "integration_id": str(row["id"])})
            count("ToolCalls.failed")
            return f"Error: {error.detail}"
        count("ToolCalls.error" if result.is_error else "ToolCalls.done")
        return f"The tool reports an error: {result.text}" if result.is_error else result.text

    def _find(self, user_id: str, integration: str, tool: str) -> dict[str, Any] | None:
        rows = self.database.run(queries.callable_tool, {"slug": integration, "tool": tool}, user_id=user_id)
        return rows[0] if rows else None

    def _failed(self, user_id: str, row: dict[str, Any], error: ToolCallError) -> None:
        told = {"integration_id": str(row["id"]), "reason": error.reason}
        logger.warning("tool call failed", extra=told)
        count("ToolCalls.failed")
        if error.reason in BROKEN:
            self.database.run(queries.check_soon, {"integration_id": row["id"]}, user_id=user_id)
