"""MCP servers, looked at and called. The SDK is imported with the first use: it takes longer than a request may."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from typing import Any

from spandrel.adapters import background
from spandrel.adapters.oauth import Tokens
from spandrel.adapters.outbound_faults import Fault, Policy
from spandrel.errors import ToolCallError
from spandrel.integrations.models import Probe, Target, ToolResult


class McpClient:
    """Implements `McpProber` and `McpCaller`. Tokens that one got serve the other."""

    def __init__(self, policy: Policy) -> None:
        self._policy, self._tokens = policy, Tokens(policy)

    def probe(self, target: Target, *, timeout: float) -> Probe:
        from spandrel.adapters.mcp_session import look

        return background.run(look(target, self._policy, self._tokens, timeout))

    async def probe_many(
        self, targets: Iterable[tuple[Any, Target]], *, timeout: float, deadline: float, concurrency: int
    ) -> AsyncIterator[tuple[Any, Probe]]:
        """On the caller's event loop. `targets` is read as there is room, so it may be a long stream."""
        from spandrel.adapters.mcp_session import look

        waiting, running = iter(targets), dict[asyncio.Task[Probe], Any]()
        try:
            while True:
                while len(running) < concurrency and time.monotonic() + timeout <= deadline:
                    key, target = next(waiting, (None, None))
                    if target is None:
                        break
                    running[asyncio.create_task(look(target, self._policy, self._tokens, timeout))] = key
                if not running:
                    return
                done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    yield running.pop(task), task.result()
        finally:
            for task in running:
                task.cancel()

    def call(
        self, target: Target, tool: str, arguments: dict[str, Any], *, timeout: float, idempotency_key: str
    ) -> ToolResult:
        from spandrel.adapters.mcp_results import as_result
        from spandrel.adapters.mcp_session import call

        try:
            work = call(target, tool, arguments, self._policy, self._tokens, timeout, idempotency_key)
            return as_result(background.run(work))
        except Fault as fault:
            raise ToolCallError(fault.reason, fault.detail, retry_after=fault.retry_after) from None
