"""What integrations need from outside. Adapters implement it; tests bring fakes held to the same contract."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Protocol

from spandrel.integrations.models import Probe, RegistryPage, Target, ToolResult


class McpProber(Protocol):
    """Looks at MCP servers. Every fault of a server, its network or its address is a `Reason`, never an exception."""

    def probe(self, target: Target, *, timeout: float) -> Probe:
        """One look, within `timeout` seconds: negotiate, list tools."""
        ...

    def probe_many(
        self, targets: Iterable[tuple[Any, Target]], *, timeout: float, deadline: float, concurrency: int
    ) -> AsyncIterator[tuple[Any, Probe]]:
        """Many at once, each with its key, as they end. None is begun that could not end by `deadline`
        (`time.monotonic`).
        """
        ...


class McpCaller(Protocol):
    """Calls a tool. Raises `ToolCallError` with a `Reason` where no result of the tool itself was had."""

    def call(
        self, target: Target, tool: str, arguments: dict[str, Any], *, timeout: float, idempotency_key: str
    ) -> ToolResult: ...


class ServerRegistry(Protocol):
    """A registry in the official MCP registry's format. Raises `RegistryUnavailableError`."""

    def search(self, query: str, *, limit: int, cursor: str | None) -> RegistryPage: ...


class SecretBox(Protocol):
    """Keeps secrets sealed. `context` must be the same at both ends: a box moved to another row does not open.

    Raises `SecretUnreadableError`, `SecretsUnavailableError`.
    """

    def seal(self, secret: bytes, context: Mapping[str, str]) -> bytes: ...

    def open(self, sealed: bytes, context: Mapping[str, str]) -> bytes: ...
