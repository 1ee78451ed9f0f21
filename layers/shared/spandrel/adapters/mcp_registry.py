"""A registry of MCP servers in the official registry's API (v0.1): GET /v0.1/servers."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import urlencode

from spandrel.adapters import background
from spandrel.adapters.outbound_faults import Fault, Policy
from spandrel.errors import RegistryUnavailableError
from spandrel.integrations.models import RegistryPage, RegistryServer, Transport

TIMEOUT_SECONDS = 10.0
MAX_BYTES = 4 * 1024 * 1024
MAX_LIMIT = 100  # the official registry's
_TRANSPORTS: dict[str, Transport] = {"streamable-http": "streamable_http", "sse": "sse"}
_OFFICIAL = "io.modelcontextprotocol.registry/official"


class McpRegistry:
    """Implements `ServerRegistry`."""

    def __init__(self, url: str, policy: Policy) -> None:
        self._url, self._policy = url.rstrip("/"), policy

    def search(self, query: str, *, limit: int, cursor: str | None) -> RegistryPage:
        """The latest versions of servers whose name holds `query`; servers without a remote are among them."""
        asked = {"limit": str(min(limit, MAX_LIMIT)), "version": "latest"}
        asked |= {name: value for name, value in (("search", query), ("cursor", cursor)) if value}
        body = background.run(self._get(f"{self._url}/v0.1/servers?{urlencode(asked)}"))
        servers, metadata = body.get("servers"), body.get("metadata")
        if not isinstance(servers, list):
            raise RegistryUnavailableError("What answers at the registry's address is not a registry of MCP servers.")
        more = metadata.get("nextCursor") if isinstance(metadata, dict) else None
        found = [server for entry in servers if (server := _server(entry)) is not None]
        return RegistryPage(tuple(found), str(more) if more else None)

    async def _get(self, url: str) -> dict[str, Any]:
        from spandrel.adapters import outbound_tls
        from spandrel.adapters.outbound_http import fetch

        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                answer = await fetch(self._policy, outbound_tls.context(), "GET", url, limit=MAX_BYTES)
        except (Fault, TimeoutError) as error:
            raise RegistryUnavailableError from error
        if answer.status != 200:
            raise RegistryUnavailableError(f"{RegistryUnavailableError.title()} It answered HTTP {answer.status}.")
        try:
            found = json.loads(answer.body)
        except (ValueError, RecursionError):
            found = None
        return found if isinstance(found, dict) else {}


def _server(entry: Any) -> RegistryServer | None:
    """None for what was taken back, and for what has no name."""
    if not isinstance(entry, dict) or not isinstance(entry.get("server"), dict):
        return None
    server, meta = entry["server"], entry.get("_meta")
    official = meta.get(_OFFICIAL) if isinstance(meta, dict) else None
    if isinstance(official, dict) and official.get("status") == "deleted":
        return None
    name, version = _text(server, "name"), _text(server, "version")
    if name is None:
        return None
    return RegistryServer(
        name=name,
        title=_text(server, "title"),
        description=_text(server, "description") or "",
        version=version or "",
        remotes=tuple(_remotes(server.get("remotes"))),
        website=_text(server, "websiteUrl"),
    )


def _remotes(found: Any) -> list[tuple[Transport, str]]:
    """A URL with variables to be filled in ({tenant}) cannot be connected to as it is."""
    if not isinstance(found, list):
        return []
    return [
        (_TRANSPORTS[kind], url)
        for each in found
        if isinstance(each, dict)
        and isinstance(kind := each.get("type"), str)
        and kind in _TRANSPORTS
        and isinstance(url := each.get("url"), str)
        and "{" not in url
    ]


def _text(server: dict[str, Any], name: str) -> str | None:
    value = server.get(name)
    return value[:2000] if isinstance(value, str) and value else None
