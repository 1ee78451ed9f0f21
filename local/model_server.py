"""A small OpenAI-compatible server: `POST /v1/embeddings` and `/v1/chat/completions`, `GET /v1/models`.

Vectors come from WordLlama, whose weights lie in its wheel; answers from a stand-in that quotes the passages it gets.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from local import model_chat, model_embeddings
from local.config import LOCAL_CHAT_MODEL, LOCAL_MODEL
from local.model_embeddings import BadRequestError, Embedder
from local.model_tools import ToolCall

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
_MALFORMED = (BadRequestError, ValueError, KeyError, TypeError, AttributeError)


class App:
    """The ASGI application."""

    def __init__(self) -> None:
        self._embedder: Embedder | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        status, content = await self._respond(scope, receive)
        if isinstance(content, dict):
            await _send_json(send, status, content)
        else:
            await _send_events(send, content)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while (message := await receive())["type"] != "lifespan.shutdown":
            if message["type"] == "lifespan.startup":
                self._embedder = Embedder()
                await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})

    async def _respond(self, scope: Scope, receive: Receive) -> tuple[int, dict[str, Any] | Iterator[dict[str, Any]]]:
        route = (scope["method"], scope["path"])
        if route == ("GET", "/v1/models"):
            names = (LOCAL_MODEL, LOCAL_CHAT_MODEL)
            models = [{"id": name, "object": "model", "created": 0, "owned_by": "local"} for name in names]
            return 200, {"object": "list", "data": models}
        answers = {"/v1/embeddings": model_embeddings.answer, "/v1/chat/completions": _chat}
        answer = answers.get(scope["path"])
        if scope["method"] != "POST" or answer is None:
            return 404, _error(f"there is no {scope['method']} {scope['path']} here")
        try:
            body = json.loads(await _body(receive))
            if not isinstance(body, dict) or self._embedder is None:
                raise BadRequestError("the body must be a JSON object")
            return 200, await asyncio.to_thread(answer, self._embedder, body)
        except _MALFORMED as error:
            return 400, _error(str(error) or "the body is not what this operation takes")


def _chat(embedder: Embedder, body: dict[str, Any]) -> dict[str, Any] | Iterator[dict[str, Any]]:
    """A whole completion or, if the client wants it, its chunks."""
    reply = model_chat.reply(embedder, body)
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:24]
    head: dict[str, Any] = {"id": f"chatcmpl-{digest}", "created": 0, "model": LOCAL_CHAT_MODEL}
    if body.get("stream"):
        return _chunks(head, reply, usage=bool((body.get("stream_options") or {}).get("include_usage")))
    message: dict[str, Any] = {"role": "assistant", "content": reply.text or None}
    if reply.calls:
        message["tool_calls"] = [_call(call) for call in reply.calls]
    choice = {"index": 0, "message": message, "finish_reason": reply.finish_reason}
    return head | {"object": "chat.completion", "choices": [choice], "usage": _usage(reply)}


def _chunks(head: dict[str, Any], reply: model_chat.Reply, *, usage: bool) -> Iterator[dict[str, Any]]:
    head = head | {"object": "chat.completion.chunk"}

    def chunk(delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        return head | {"choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]}

    yield chunk({"role": "assistant", "content": ""})
    for piece in model_chat.pieces(reply.text):
        yield chunk({"content": piece})
    for index, call in enumerate(reply.calls):
        whole = {"index": index} | _call(call)
        yield chunk({"tool_calls": [whole | {"function": {"name": call.name, "arguments": ""}}]})
        yield chunk({"tool_calls": [{"index": index, "function": {"arguments": call.arguments}}]})
    yield chunk({}, reply.finish_reason)
    if usage:
        yield head | {"choices": [], "usage": _usage(reply)}


def _call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _usage(reply: model_chat.Reply) -> dict[str, Any]:
    return {
        "prompt_tokens": reply.prompt_tokens,
        "completion_tokens": reply.completion_tokens,
        "total_tokens": reply.prompt_tokens + reply.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": 0},
    }


async def _send_json(send: Send, status: int, content: dict[str, Any]) -> None:
    payload = json.dumps(content).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(payload)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": payload})


async def _send_events(send: Send, chunks: Iterator[dict[str, Any]]) -> None:
    headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for chunk in chunks:
        body = b"data: " + json.dumps(chunk).encode() + b"\n\n"
        await send({"type": "http.response.body", "body": body, "more_body": True})
    await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})


async def _body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def _error(message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "code": None, "param": None}}


def main() -> None:
    import uvicorn

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    uvicorn.run(App(), host="127.0.0.1", port=parser.parse_args().port, log_level="warning", lifespan="on")


if __name__ == "__main__":
    main()
