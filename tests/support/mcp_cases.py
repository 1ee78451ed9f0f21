"""Servers that are ill in one way each, and the reason that a probe must find. Plain HTTP, on loopback."""

from __future__ import annotations

import gzip
import json
import time
from typing import Any

from spandrel.integrations.models import Reason
from tests.support.http_server import Received, Reply
from tests.support.mcp_servers import ECHO, MODERN, json_reply, modern

DISCOVERED = {"supportedVersions": [MODERN], "capabilities": {"tools": {}}}
REFUSED = {"error": {"code": -32603, "message": "the pod is empty"}}


def _always(reply: Reply) -> Any:
    return lambda request: reply


def html(request: Received) -> Reply:
    return Reply(200, b"<!doctype html><title>Whales</title>", {"content-type": "text/html; charset=utf-8"})


def bomb(request: Received) -> Reply:
    body = gzip.compress(b" " * (64 * 2**20))
    return Reply(200, body, {"content-type": "application/json", "content-encoding": "gzip"})


def squeezed(request: Received) -> Reply:
    """A healthy server that compresses though it was not asked to."""
    reply = modern(request)
    return Reply(reply.status, gzip.compress(reply.body), reply.headers | {"content-encoding": "gzip"})


def many_tools(request: Received) -> Reply:
    """A list without end, 100 a page."""

    def page(asked: dict[str, Any]) -> dict[str, Any]:
        begin = int(asked["params"].get("cursor", 0))
        return {"tools": [ECHO | {"name": f"t{begin + n}"} for n in range(100)], "nextCursor": str(begin + 100)}

    return modern(request, tools_list=page)


def paged(request: Received) -> Reply:
    """1,000 tools, which is as many as may be."""

    def page(asked: dict[str, Any]) -> dict[str, Any]:
        begin = int(asked["params"].get("cursor", 0))
        tools = [ECHO | {"name": f"t{begin + n}"} for n in range(100)]
        return {"tools": tools} | ({"nextCursor": str(begin + 100)} if begin < 900 else {})

    return modern(request, tools_list=page)


def no_end(request: Received) -> Reply:
    return modern(request, tools_list={"tools": [], "nextCursor": "again"})


def legacy_json(request: Received) -> Reply:
    """Says no to what it does not know, in JSON-RPC, and then speaks a version that nobody does."""
    asked = json.loads(request.body or b"{}")
    if asked.get("method") != "initialize":
        return json_reply({"jsonrpc": "2.0", "id": asked.get("id"), "error": {"code": -32601, "message": "what?"}}, 400)
    result = {"protocolVersion": "1999-01-01", "capabilities": {}, "serverInfo": {"name": "old", "version": "0"}}
    return json_reply({"jsonrpc": "2.0", "id": asked["id"], "result": result})


def circle(request: Received) -> Reply:
    return Reply(307, b"", {"location": request.path})


def sleeps_on_tools(request: Received) -> Reply:
    return modern(request, tools_list=lambda asked: time.sleep(3) or {"tools": []})


ILL: dict[str, tuple[Any, Reason]] = {
    "a web page": (html, Reason.NOT_MCP),
    "a JSON API that is not MCP": (_always(json_reply({"whales": 7})), Reason.NOT_MCP),
    "a JSON API that fails politely": (_always(json_reply({"error": "no"}, 400)), Reason.NOT_MCP),
    "405": (_always(Reply(405)), Reason.NOT_MCP),
    "200 and nothing": (_always(Reply(200)), Reason.NOT_MCP),
    "202": (_always(Reply(202)), Reason.NOT_MCP),
    "404": (_always(Reply(404)), Reason.NOT_FOUND),
    "401": (_always(Reply(401)), Reason.AUTH_REQUIRED),
    "401 with a challenge": (_always(Reply(401, b"", {"www-authenticate": "Bearer"})), Reason.AUTH_REQUIRED),
    "403": (_always(Reply(403)), Reason.AUTH_REQUIRED),
    "429": (_always(Reply(429, b"", {"retry-after": "17"})), Reason.RATE_LIMITED),
    "500": (_always(Reply(500)), Reason.SERVER_ERROR),
    "503 as a page": (_always(Reply(503, b"<h1>sorry</h1>", {"content-type": "text/html"})), Reason.SERVER_ERROR),
    "to another origin": (_always(Reply(307, b"", {"location": "https://whales.example.org/"})), Reason.REDIRECT),
    "to a page to sign in": (_always(Reply(302, b"", {"location": "/login"})), Reason.REDIRECT),
    "in a circle": (circle, Reason.REDIRECT),
    "to the metadata service": (
        _always(Reply(307, b"", {"location": "http://169.254.169.254/latest/meta-data/"})), Reason.ADDRESS_FORBIDDEN,
    ),
    "to a private network": (_always(Reply(302, b"", {"location": "https://10.0.0.1/"})), Reason.ADDRESS_FORBIDDEN),
    "a gzip bomb": (bomb, Reason.TOO_LARGE),
    "a compression that nobody asked for": (
        _always(Reply(200, b"x", {"content-encoding": "br", "content-type": "application/json"})), Reason.PROTOCOL,
    ),
    "damaged gzip": (
        _always(Reply(200, b"xxxx", {"content-encoding": "gzip", "content-type": "application/json"})), Reason.PROTOCOL,
    ),
    "a huge answer": (_always(json_reply({"jsonrpc": "2.0", "id": 1, "result": "w" * 3 * 2**20})), Reason.TOO_LARGE),
    "tools without end": (many_tools, Reason.TOO_LARGE),
    "pages in a circle": (no_end, Reason.TOOLS_ERROR),
    "JSON-RPC that is none": (_always(json_reply({"jsonrpc": "2.0", "id": 1, "whale": True})), Reason.PROTOCOL),
    "a version that nobody speaks": (legacy_json, Reason.PROTOCOL),
    "an error in the place of tools": (lambda request: modern(request, tools_list=REFUSED), Reason.TOOLS_ERROR),
    "tools that are none": (lambda request: modern(request, tools=[{"whale": 1}]), Reason.TOOLS_ERROR),
    "500 in the place of tools": (lambda request: modern(request, tools_list=Reply(500)), Reason.TOOLS_ERROR),
    "401 in the place of tools": (lambda request: modern(request, tools_list=Reply(401)), Reason.AUTH_REQUIRED),
    "429 in the place of tools": (lambda request: modern(request, tools_list=Reply(429)), Reason.RATE_LIMITED),
    "silence in the place of tools": (sleeps_on_tools, Reason.TIMEOUT),
}  # fmt: skip
