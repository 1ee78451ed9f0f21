"""The tools of the SDK's server in the tests. The SDK reads their annotations, so what they name is imported here."""

from __future__ import annotations

import asyncio
from typing import Any

from mcp.server.mcpserver import Context, MCPServer
from mcp_types import ImageContent, ResourceLink, TextContent


def add_tools(server: MCPServer[Any]) -> None:
    def echo(text: str) -> str:
        """Says it back."""
        return text

    def fails() -> str:
        """Never works."""
        raise ValueError("no whale in sight")

    async def slow(seconds: float) -> str:
        """Takes its time."""
        await asyncio.sleep(seconds)
        return "at last"

    def big(characters: int) -> str:
        """Says much."""
        return "w" * characters

    def mixed() -> list[Any]:
        """Text, a picture and a link."""
        return [
            TextContent(type="text", text="a whale"),
            ImageContent(type="image", data="aGVsbG8=", mimeType="image/png"),
            ResourceLink(type="resource_link", name="song", uri="https://whales.example/song"),
        ]

    def weigh() -> dict[str, int]:
        """Structured content."""
        return {"tons": 100}

    async def key(context: Context[Any]) -> str:
        """The idempotency key of the call."""
        meta = context.request_context.meta
        return str((meta or {}).get("spandrel/idempotency-key"))

    for each in (echo, fails, slow, big, mixed, weigh, key):
        server.add_tool(each, structured_output=each is weigh)
