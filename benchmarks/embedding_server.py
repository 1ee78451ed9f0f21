"""A fake OpenAI embeddings endpoint for both sides of a benchmark: canned vectors, no model, in a process of its
own.
"""

from __future__ import annotations

import base64
import os
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import Process

import msgspec

POOL = 64


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    encoded: tuple[str, ...] = ()
    floats: tuple[list[float], ...] = ()

    def do_POST(self) -> None:
        request = msgspec.json.decode(self.rfile.read(int(self.headers["content-length"])))
        texts = request["input"] if isinstance(request["input"], list) else [request["input"]]
        pool = self.encoded if request.get("encoding_format") == "base64" else self.floats
        data = [{"object": "embedding", "index": n, "embedding": pool[n % POOL]} for n in range(len(texts))]
        body = msgspec.json.encode(
            {"object": "list", "data": data, "model": "bench", "usage": {"prompt_tokens": 1, "total_tokens": 1}}
        )
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


def _serve(port: int, dimensions: int) -> None:
    import random

    source = random.Random(3)
    Handler.floats = tuple([source.gauss(0, 1) / dimensions**0.5 for _ in range(dimensions)] for _ in range(POOL))
    Handler.encoded = tuple(
        base64.b64encode(struct.pack(f"<{dimensions}f", *vector)).decode() for vector in Handler.floats
    )
    sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115 - clients that hang up are none of our business
    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


@contextmanager
def embedding_server(port: int, dimensions: int) -> Iterator[str]:
    """Yields the base URL."""
    process = Process(target=_serve, args=(port, dimensions), daemon=True)
    process.start()
    try:
        for _ in range(100):
            try:
                connection = HTTPConnection("127.0.0.1", port, timeout=1)
                connection.request("POST", "/v1/embeddings", b'{"input":["x"]}', {"content-type": "application/json"})
                connection.getresponse().read()
                break
            except OSError:
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.join()
