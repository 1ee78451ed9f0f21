"""Foreign MCP servers, a registry and a secret box in memory. Each passes the contract suite of its real adapter."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from spandrel.errors import SecretUnreadableError, ToolCallError
from spandrel.integrations.models import (
    DiscoveredTool,
    Probe,
    Reason,
    RegistryPage,
    RegistryServer,
    Target,
    Timings,
    ToolResult,
)


def tool(name: str, description: str = "", schema: dict[str, Any] | None = None, **more: Any) -> DiscoveredTool:
    return DiscoveredTool(name, description, schema or {"type": "object", "properties": {}}, **more)


def healthy(*tools: DiscoveredTool, **more: Any) -> Probe:
    """What a modern server with these tools gives."""
    found: dict[str, Any] = {
        "reason": None,
        "detail": "The server answered and listed its tools.",
        "timings": Timings(dns=0.1, connect=0.2, negotiate=1.0, tools=1.0, total=2.3),
        "address": "127.0.0.1",
        "era": "modern",
        "protocol_version": "2026-07-28",
        "server_name": "fake",
        "server_version": "1",
        "capabilities": {"tools": {}},
        "tools": tools,
    }
    return Probe(**(found | more))


def failing(reason: Reason, detail: str = "The server is not well.", **more: Any) -> Probe:
    return Probe(reason=reason, detail=detail, **({"timings": Timings(total=1.0)} | more))


Answer = Probe | Callable[[Target], Probe]


class FakeProber:
    """`answers` by URL: a probe, or a function of the target. A URL that is not there is one that DNS does not know.

    `script` by URL comes first, one answer a probe. `probed` is every target looked at, `during` is called before each.
    """

    def __init__(self, answers: Mapping[str, Answer] | None = None) -> None:
        self.answers: dict[str, Answer] = dict(answers or {})
        self.script: dict[str, deque[Answer]] = {}
        self.probed: list[Target] = []
        self.during: Callable[[Target], None] = lambda target: None

    def then(self, url: str, *answers: Answer) -> FakeProber:
        self.script.setdefault(url, deque()).extend(answers)
        return self

    def probe(self, target: Target, *, timeout: float) -> Probe:
        self.during(target)
        self.probed.append(target)
        waiting = self.script.get(target.url)
        answer = waiting.popleft() if waiting else self.answers.get(target.url)
        if answer is None:
            return failing(Reason.DNS, "The server's name is not known to DNS.")
        return answer if isinstance(answer, Probe) else answer(target)

    async def probe_many(
        self, targets: Iterable[tuple[Any, Target]], *, timeout: float, deadline: float, concurrency: int
    ) -> AsyncIterator[tuple[Any, Probe]]:
        for key, target in targets:
            if time.monotonic() + timeout > deadline:
                return
            yield key, self.probe(target, timeout=timeout)


@dataclass(frozen=True, slots=True)
class Called:
    target: Target
    tool: str
    arguments: dict[str, Any]
    timeout: float
    idempotency_key: str


Outcome = ToolResult | Exception | Callable[[dict[str, Any]], ToolResult]


class FakeCaller:
    """`results` by tool name: a result, an error to raise, or a function of the arguments. `calls` is what was asked.

    A tool that is not there answers as a server does that does not know it.
    """

    def __init__(self, results: Mapping[str, Outcome] | None = None) -> None:
        self.results: dict[str, Outcome] = dict(results or {})
        self.calls: list[Called] = []

    def call(
        self, target: Target, tool: str, arguments: dict[str, Any], *, timeout: float, idempotency_key: str
    ) -> ToolResult:
        self.calls.append(Called(target, tool, arguments, timeout, idempotency_key))
        outcome = self.results.get(tool)
        if outcome is None:
            raise ToolCallError(Reason.PROTOCOL, f"The server refused the call: unknown tool {tool}")
        if isinstance(outcome, Exception):
            raise outcome
        return outcome if isinstance(outcome, ToolResult) else outcome(arguments)


@dataclass
class FakeRegistry:
    """Finds `servers` whose name holds the query; a cursor is the place to go on from."""

    servers: list[RegistryServer] = field(default_factory=list)
    failure: Exception | None = None

    def search(self, query: str, *, limit: int, cursor: str | None) -> RegistryPage:
        if self.failure is not None:
            raise self.failure
        found = [each for each in self.servers if query.lower() in each.name.lower()]
        begin = int(cursor or 0)
        more = str(begin + limit) if len(found) > begin + limit else None
        return RegistryPage(tuple(found[begin : begin + limit]), more)


class FakeSecretBox:
    """Hides nothing from who looks, but opens only as it was sealed. `failure` is raised instead, if it is set."""

    def __init__(self) -> None:
        self.failure: Exception | None = None

    def seal(self, secret: bytes, context: Mapping[str, str]) -> bytes:
        if self.failure is not None:
            raise self.failure
        hidden = bytes(byte ^ 0x5A for byte in secret)
        return self._mark(hidden, context) + hidden

    def open(self, sealed: bytes, context: Mapping[str, str]) -> bytes:
        if self.failure is not None:
            raise self.failure
        mark, hidden = sealed[:32], sealed[32:]
        if not hmac.compare_digest(mark, self._mark(hidden, context)):
            raise SecretUnreadableError
        return bytes(byte ^ 0x5A for byte in hidden)

    @staticmethod
    def _mark(hidden: bytes, context: Mapping[str, str]) -> bytes:
        return hmac.digest(json.dumps(dict(context), sort_keys=True).encode(), hidden, hashlib.sha256)
