"""From the commit of a change to its user's screen, on the running local stack, by real HTTP and WebSocket.

    make local-start && python -m benchmarks.feed

A change is a collection renamed over the HTTP API. Its event's `time` is when its transaction began, so what is
measured is a little more than what is claimed: the transaction, its commit, the word of news, the queue, the pump and
the way to the client. One change after the other, and then some at once.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from websockets.asyncio.client import ClientConnection, connect

from local import config

CHANGES, AT_ONCE = 100, 4
PAUSE_SECONDS = 0.05


@dataclass
class Api:
    url: str
    token: str

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        headers = {"authorization": f"Bearer {self.token}", "content-type": "application/json"}
        data = json.dumps(body).encode() if body is not None else None
        with urlopen(Request(self.url + path, data, headers, method=method), timeout=30) as answer:
            return json.load(answer)


@dataclass
class Screen:
    """What a client has seen: milliseconds from each change to here, in order of `seq`."""

    socket: ClientConnection
    milliseconds: list[float] = field(default_factory=list)
    seqs: list[int] = field(default_factory=list)

    async def watch(self, changes: int) -> None:
        while len(self.seqs) < changes:
            frame = json.loads(await asyncio.wait_for(self.socket.recv(), 60))
            if frame["type"] == "event":
                event = frame["event"]
                passed = datetime.now(UTC) - datetime.fromisoformat(event["time"])
                self.milliseconds.append(passed.total_seconds() * 1000)
                self.seqs.append(event["seq"])


async def measure(api: Api, at_once: int) -> Screen:
    ticket = api.call("POST", "/v1/realtime/tickets", {})
    collections = [api.call("POST", "/v1/collections", {"name": _name()})["id"] for _ in range(at_once)]
    async with connect(f"{ticket['url']}?ticket={ticket['ticket']}") as socket:
        await socket.send(json.dumps({"action": "subscribe"}))
        while json.loads(await socket.recv())["type"] != "live":
            pass
        screen = Screen(socket)
        watching = asyncio.create_task(screen.watch(CHANGES))
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(at_once) as pool:

            def rename(number: int) -> None:
                path = f"/v1/collections/{collections[number % at_once]}"
                api.call("PATCH", path, {"name": _name()})

            for first in range(0, CHANGES, at_once):
                batch = range(first, min(first + at_once, CHANGES))
                await asyncio.gather(*(loop.run_in_executor(pool, rename, number) for number in batch))
                await asyncio.sleep(PAUSE_SECONDS)
        await watching
    first = screen.seqs[0]
    assert screen.seqs == list(range(first, first + CHANGES)), "the feed has a gap or another order"
    return screen


def _name() -> str:
    return f"feed {datetime.now(UTC).isoformat()}"


def main() -> None:
    described = json.loads(config.load().stack_file.read_text())
    spandrel = str(Path(sys.executable).with_name("spandrel"))
    told = subprocess.run([spandrel, "token"], capture_output=True, text=True, check=True)
    api = Api(described["http_url"], told.stdout.strip())
    for title, at_once in (("one after the other", 1), (f"{AT_ONCE} at once", AT_ONCE)):
        screen = asyncio.run(measure(api, at_once))
        ordered = sorted(screen.milliseconds)
        median, p95 = statistics.median(ordered), ordered[int(0.95 * len(ordered))]
        print(f"{title:<22} median {median:6.0f} ms   p95 {p95:6.0f} ms   ({len(ordered)} events, every seq once)")


if __name__ == "__main__":
    main()
