"""One look at an MCP server, and one call of a tool, with the official SDK.

A server proves its health by negotiating (`server/discover`, or `initialize` for those before 2026-07-28) and by
listing its tools; a bare GET or a ping would call healthy servers dead.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

import httpx2
from mcp.client.client import Client
from mcp.client.session import ClientSession
from mcp.shared.exceptions import MCPError
from mcp_types import (
    CONNECTION_CLOSED,
    HEADER_MISMATCH,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    REQUEST_TIMEOUT,
    CallToolRequest,
    CallToolRequestParams,
    CallToolResult,
    PaginatedRequestParams,
    Tool,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

from spandrel.adapters import mcp_verdict
from spandrel.adapters.mcp_transport import connected
from spandrel.adapters.oauth import Tokens
from spandrel.adapters.outbound_faults import Fault, Journal, Policy
from spandrel.integrations.models import DiscoveredTool, Era, Probe, Reason, Target

logger = logging.getLogger(__name__)

MAX_PROBE_BYTES = 2 * 1024 * 1024
MAX_RESULT_BYTES = 4 * 1024 * 1024
MAX_TOOLS = 1000
GRACE_SECONDS = 0.2  # to let go in, within the time limit
IDEMPOTENCY_KEY = "spandrel/idempotency-key"
"""In a call's `_meta`. MCP names no key for this (2026-07-28); `_meta` is where it lets others put theirs."""

_abandoned: set[asyncio.Task[Any]] = set()


@dataclass(slots=True)
class Found:
    """What is known so far, which a fault does not take away."""

    era: Era | None = None
    protocol_version: str | None = None
    server_name: str | None = None
    server_version: str | None = None
    capabilities: dict[str, Any] = field(default_factory=dict)
    tools: tuple[DiscoveredTool, ...] = ()
    whole: bool = False

    def take(self, client: Client) -> None:
        info = client.server_info
        self.protocol_version = client.protocol_version
        self.era = "modern" if self.protocol_version in MODERN_PROTOCOL_VERSIONS else "legacy"
        self.server_name = info.name[:200] if info else None
        self.server_version = info.version[:100] if info and info.version else None
        self.capabilities = client.server_capabilities.model_dump(mode="json", by_alias=True, exclude_none=True)


async def look(target: Target, policy: Policy, tokens: Tokens, timeout: float) -> Probe:
    """Ends within `timeout` seconds, whatever the server does."""
    begin, journal, found = time.perf_counter(), Journal(), Found()
    error = await bounded(journal, _inspect(target, journal, found, policy, tokens), timeout)
    fault = None if found.whole else journal.fault or _judge(journal, found, error, target)
    return Probe(
        reason=fault.reason if fault else None,
        detail=mcp_verdict.redact(fault.detail, target.auth) if fault else "The server answered and listed its tools.",
        timings=journal.timings((time.perf_counter() - begin) * 1000),
        address=journal.address,
        tls=journal.evidence,
        era=found.era,
        protocol_version=found.protocol_version,
        server_name=found.server_name,
        server_version=found.server_version,
        capabilities=found.capabilities,
        tools=found.tools,
        retry_after=fault.retry_after if fault else None,
    )


async def bounded(journal: Journal, work: Coroutine[Any, Any, None], timeout: float) -> BaseException | None:
    """Runs `work` until it ends, the journal breaks or the time is over; gives what it raised.

    Work that does not stop when it is cancelled is left behind: nobody waits for it.
    """
    task, broken = asyncio.ensure_future(work), asyncio.ensure_future(journal.broken.wait())
    grace = min(GRACE_SECONDS, timeout / 5)
    try:
        await asyncio.wait({task, broken}, timeout=timeout - grace, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            late = journal.late()
            task.cancel()
            await asyncio.wait({task}, timeout=grace)
            return late
        return None if task.cancelled() else task.exception()
    finally:
        broken.cancel()
        if not task.done():
            task.cancel()
            _abandoned.add(task)
        task.add_done_callback(_let_go)


def _let_go(task: asyncio.Task[Any]) -> None:
    _abandoned.discard(task)
    if not task.cancelled():
        task.exception()  # looked at, so that nobody is told that it never was


async def _inspect(target: Target, journal: Journal, found: Found, policy: Policy, tokens: Tokens) -> None:
    begin = time.perf_counter()
    async with connected(target, journal, policy, tokens, MAX_PROBE_BYTES) as client:
        negotiated = time.perf_counter()
        reached = (journal.dns or 0) + (journal.connect or 0) + (journal.tls or 0)
        journal.negotiate = max(0.0, (negotiated - begin) * 1000 - reached)
        found.take(client)
        journal.enter("tools")
        found.tools = tuple(_tool(each) for each in (await _list(client.session, journal, found)).values())
        journal.tools = (time.perf_counter() - negotiated) * 1000
        found.whole = True


async def _list(session: ClientSession, journal: Journal, found: Found) -> dict[str, Tool]:
    """All tools by name, page by page. A server that says it has none and knows no `tools/list` has none."""
    tools: dict[str, Tool] = {}
    cursor, seen = None, set[str]()
    while True:
        try:
            page = await session.list_tools(params=PaginatedRequestParams(cursor=cursor))
        except MCPError as error:
            if error.code == METHOD_NOT_FOUND and "tools" not in found.capabilities and cursor is None:
                return {}
            raise
        for each in page.tools:
            tools.setdefault(each.name, each)
        cursor = page.next_cursor
        if len(tools) > MAX_TOOLS or len(seen) > MAX_TOOLS:
            raise journal.fail(Fault(Reason.TOO_LARGE, f"The server lists more than {MAX_TOOLS:,} tools."))
        if not cursor:
            return tools
        if cursor in seen:
            raise journal.fail(Fault(Reason.TOOLS_ERROR, "The server's list of tools goes in a circle."))
        seen.add(cursor)


def _tool(each: Tool) -> DiscoveredTool:
    annotations = each.annotations.model_dump(mode="json", by_alias=True, exclude_none=True) if each.annotations else {}
    title = each.title or annotations.get("title")
    return DiscoveredTool(each.name, each.description or "", each.input_schema, each.output_schema, annotations, title)


def _judge(journal: Journal, found: Found, error: BaseException | None, target: Target) -> Fault:
    if isinstance(error, Fault):
        return error
    cause = first_cause(error)
    said = _said(cause)
    if error is not None and not isinstance(cause, MCPError | ValidationError | httpx2.HTTPError):
        logger.warning("a look at a server ended in %s", type(cause).__name__)  # its text could hold a secret
    if found.era is None:
        if target.transport == "sse" and said and journal.exchange is not None:
            return Fault(Reason.PROTOCOL, mcp_verdict.told("The server did not agree to begin.", said))
        return mcp_verdict.not_negotiated(journal, said)
    sentence = "The server answered, but did not list its tools."
    if isinstance(cause, ValidationError):
        return Fault(Reason.TOOLS_ERROR, f"{sentence} Its list is not what MCP says it should be.")
    speaks = journal.exchange is not None and (journal.exchange.speaks_json_rpc or target.transport == "sse")
    return Fault(Reason.TOOLS_ERROR, mcp_verdict.told(sentence, said if speaks else None))


def _said(cause: BaseException | None) -> str | None:
    """The server's own words. For an answer that it could not read, or never got, the SDK finds some itself."""
    if isinstance(cause, MCPError) and cause.code not in (PARSE_ERROR, CONNECTION_CLOSED, REQUEST_TIMEOUT):
        return cause.message
    return None


def first_cause(error: BaseException | None) -> BaseException | None:
    """The first exception that is not a group."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def call(
    target: Target, tool: str, arguments: dict[str, Any], policy: Policy, tokens: Tokens, timeout: float, key: str
) -> CallToolResult:
    """The tool's result. Raises `Fault` within `timeout` seconds."""
    journal, results = Journal(), list[CallToolResult]()

    async def work() -> None:
        async with connected(target, journal, policy, tokens, MAX_RESULT_BYTES) as client:
            journal.enter("call")
            results.append(await _ask(client, journal, tool, arguments, key))

    error = await bounded(journal, work(), timeout)
    if results:
        return results[0]
    fault = journal.fault or _refused(journal, error, target)
    raise Fault(fault.reason, mcp_verdict.redact(fault.detail, target.auth), retry_after=fault.retry_after)


async def _ask(client: Client, journal: Journal, tool: str, arguments: dict[str, Any], key: str) -> CallToolResult:
    """Without the SDK's check of the result's schema, for which it would list the tools anew at every call."""
    meta: Any = {IDEMPOTENCY_KEY: key}
    asked = CallToolRequest(params=CallToolRequestParams(name=tool, arguments=arguments, _meta=meta))
    try:
        return await client.session.send_request(asked, CallToolResult)
    except MCPError as error:
        if error.code != HEADER_MISMATCH:
            raise
    # Some arguments go into headers too, and which they are stands in the tool's schema.
    await _list(client.session, journal, Found(capabilities={"tools": {}}))
    return await client.session.send_request(asked, CallToolResult)


def _refused(journal: Journal, error: BaseException | None, target: Target) -> Fault:
    if isinstance(error, Fault):
        return error
    cause, exchange = first_cause(error), journal.exchange
    said = _said(cause)
    if journal.stage != "call":
        return _judge(journal, Found(), error, target)
    if isinstance(cause, ValidationError):
        return Fault(Reason.PROTOCOL, "The server's answer is not a tool's result, or the tool asks for more input.")
    if exchange is not None and not exchange.speaks_json_rpc and target.transport != "sse":
        if exchange.status >= 500:
            return Fault(Reason.SERVER_ERROR, f"The server failed (HTTP {exchange.status}).")
        if exchange.status == 404:
            return Fault(Reason.NOT_FOUND, "The server does not know the call's path any more (HTTP 404).")
        return Fault(Reason.PROTOCOL, f"The server's answer is not MCP (HTTP {exchange.status}).")
    if isinstance(cause, MCPError) and cause.code == CONNECTION_CLOSED:
        return Fault(Reason.CONNECTION, "The server broke off before the tool's result.")
    return Fault(Reason.PROTOCOL, mcp_verdict.told("The server refused the call.", said))
