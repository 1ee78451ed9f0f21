"""What is there, before anything is saved: a server by its URL, or a registry's entries by words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from spandrel.database import Database
from spandrel.errors import TooOftenError
from spandrel.integrations.evidence import clipped, evidence
from spandrel.integrations.judge import status_of
from spandrel.integrations.models import RegistryPage, Status, Target
from spandrel.integrations.ports import McpProber, ServerRegistry
from spandrel.integrations.store import queries
from spandrel.integrations.tools import listed

TIMEOUT = 20.0
DISCOVERIES_A_MINUTE, SEARCHES_A_MINUTE = 20, 60


@dataclass(frozen=True, slots=True)
class FoundTool:
    name: str
    title: str | None
    description: str
    input_schema: dict[str, Any]
    output_schema: dict[str, Any] | None
    annotations: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Discovery:
    """`reason` null: it is an MCP server that lists its tools. `status`: what an integration with it would begin as."""

    reason: str | None
    detail: str
    status: Status
    era: str | None
    protocol_version: str | None
    server_name: str | None
    server_version: str | None
    capabilities: dict[str, Any]
    tools: list[FoundTool]
    evidence: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Discover:
    """`vet` refuses addresses that a user may not have us call."""

    database: Database
    prober: McpProber
    registry: ServerRegistry
    vet: Callable[[Target], None]

    def server(self, user_id: str, target: Target) -> Discovery:
        """Raises `AddressForbiddenError`, `TooOftenError`; every fault of the server is in the answer."""
        self.vet(target)
        self._allow(user_id, "discovery", DISCOVERIES_A_MINUTE)
        probe = self.prober.probe(target, timeout=TIMEOUT)
        kept = evidence(probe)
        return Discovery(
            reason=probe.reason.value if probe.reason else None,
            detail=clipped(probe.detail) or "",
            status=status_of(probe.reason.value if probe.reason else ""),
            era=probe.era,
            protocol_version=kept["protocol_version"],
            server_name=kept["server_name"],
            server_version=kept["server_version"],
            capabilities=kept["capabilities"],
            tools=[
                FoundTool(
                    each.name, each.title, each.description, each.input_schema, each.output_schema, each.annotations
                )
                for each in listed(probe.tools)
            ],
            evidence=kept,
        )

    def search(self, user_id: str, query: str, limit: int, cursor: str | None) -> RegistryPage:
        """Raises `RegistryUnavailableError`, `TooOftenError`."""
        self._allow(user_id, "registry", SEARCHES_A_MINUTE)
        return self.registry.search(query, limit=limit, cursor=cursor)

    def _allow(self, user_id: str, kind: str, limit: int) -> None:
        [row] = self.database.run(queries.take_allowance, {"user_id": user_id, "kind": kind}, user_id=user_id)
        if row["used"] > limit:
            raise TooOftenError(f"{limit} a minute are allowed. Wait for the next minute.", retry_after=60.0)
