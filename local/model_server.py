"""A small OpenAI-compatible server: `POST /v1/embeddings` and `GET /v1/models`, by WordLlama, with nothing downloaded.

Its weights lie in its wheel. Texts are lower-cased (it embeds capitals badly) and an empty one gets the zero vector's
nearest legal kin, a constant one.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from local.config import LOCAL_MODEL, LOCAL_MODEL_DIMENSIONS

MAX_INPUTS = 2048
Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class BadRequestError(Exception):
    """What the client sent cannot be embedded; the message is for it."""


class Embedder:
    """WordLlama, loaded from its own wheel."""

    def __init__(self) -> None:
        import wordllama

        folder = Path(wordllama.__file__).parent
        self._model = wordllama.WordLlama.load(cache_dir=folder, disable_download=True)

    def embed(self, texts: list[str], dimensions: int) -> Any:
        """Unit vectors (float32), one row a text. Fewer dimensions are the first ones: the model is trained for it."""
        import numpy

        rows = numpy.zeros((len(texts), LOCAL_MODEL_DIMENSIONS), dtype=numpy.float32)
        kept = [index for index, text in enumerate(texts) if text.strip()]
        if kept:
            rows[kept] = self._model.embed([texts[index].lower() for index in kept])
        rows = rows[:, :dimensions]
        rows[~rows.any(axis=1)] = 1.0  # nothing known in the text: a direction like any other, but not NaN
        return (rows / numpy.linalg.norm(rows, axis=1, keepdims=True)).astype(numpy.float32)


def answer(embedder: Embedder, body: dict[str, Any]) -> dict[str, Any]:
    """The answer to one `POST /v1/embeddings`."""
    given = body.get("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise BadRequestError("input must be a string or a list of strings")
    if len(texts) > MAX_INPUTS:
        raise BadRequestError(f"input may hold at most {MAX_INPUTS} texts")
    dimensions = body.get("dimensions", LOCAL_MODEL_DIMENSIONS)
    if not isinstance(dimensions, int) or not 1 <= dimensions <= LOCAL_MODEL_DIMENSIONS:
        raise BadRequestError(f"dimensions must be from 1 to {LOCAL_MODEL_DIMENSIONS}")
    rows, packed = embedder.embed(texts, dimensions), body.get("encoding_format") == "base64"
    tokens = sum(len(text) // 4 + 1 for text in texts)
    return {
        "object": "list",
        "model": LOCAL_MODEL,
        "data": [
            {
                "object": "embedding",
                "index": index,
                "embedding": base64.b64encode(row.tobytes()).decode() if packed else row.tolist(),
            }
            for index, row in enumerate(rows)
        ],
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


class App:
    """The ASGI application."""

    def __init__(self) -> None:
        self._embedder: Embedder | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        status, content = await self._respond(scope, receive)
        payload = json.dumps(content).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(payload)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": payload})

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while (message := await receive())["type"] != "lifespan.shutdown":
            if message["type"] == "lifespan.startup":
                self._embedder = Embedder()
                await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})

    async def _respond(self, scope: Scope, receive: Receive) -> tuple[int, dict[str, Any]]:
        route = (scope["method"], scope["path"])
        if route == ("GET", "/v1/models"):
            model = {"id": LOCAL_MODEL, "object": "model", "created": 0, "owned_by": "local"}
            return 200, {"object": "list", "data": [model]}
        if route != ("POST", "/v1/embeddings"):
            return 404, _error(f"there is no {scope['method']} {scope['path']} here")
        try:
            body = json.loads(await _body(receive))
            if not isinstance(body, dict) or self._embedder is None:
                raise BadRequestError("the body must be a JSON object")
            return 200, await asyncio.to_thread(answer, self._embedder, body)
        except (BadRequestError, ValueError) as error:
            return 400, _error(str(error))


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
