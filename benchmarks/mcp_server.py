"""A lean ASGI application that speaks the modern protocol and takes 50 ms for each answer: `python -m uvicorn`'s part
in `benchmarks.health`. The SDK's own server would take more of the two cores than the prober that is measured.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

SECONDS = 0.05
MODERN = "2026-07-28"
_TOOLS = [
    {
        "name": f"tool_{number}",
        "description": "Looks something up and gives it back as text, with a link to where it stands.",
        "inputSchema": {
            "type": "object",
            "properties": {"query": {"type": "string"}, "limit": {"type": "integer", "minimum": 1}},
            "required": ["query"],
        },
    }
    for number in range(10)
]
_RESULTS: dict[str, Any] = {
    "server/discover": {"supportedVersions": [MODERN], "capabilities": {"tools": {}}},
    "tools/list": {"tools": _TOOLS},
}
_COMMON = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}


async def app(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "http"
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    asked = json.loads(body)
    await asyncio.sleep(SECONDS)
    answer = {"jsonrpc": "2.0", "id": asked["id"], "result": _COMMON | _RESULTS[asked["method"]]}
    content = json.dumps(answer).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})
