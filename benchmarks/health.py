"""1,000 integrations probed in one invocation, against local MCP servers that take 50 ms for an answer; one hangs.

    python -m benchmarks.health [--tls]

A probe is two answers (`server/discover`, `tools/list` with ten tools), so 100 ms at least. The servers are lean
(benchmarks/mcp_server.py) and run in two processes on the same cores; `--tls` puts them behind certificates of a
private authority.
"""

from __future__ import annotations

import asyncio
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from spandrel.adapters.mcp_client import McpClient
from spandrel.adapters.outbound_faults import Policy
from spandrel.integrations.models import Probe, Target
from tests.support.certificates import issue

ROOT = Path(__file__).parents[1]
INTEGRATIONS = 1000
PROCESSES = 2
TIMEOUT = 10.0
CONCURRENCY = 64


@contextmanager
def serving(*options: str) -> Iterator[int]:
    """A process of the lean server; yields its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "benchmarks.mcp_server:app", "--port", str(port)]
    quiet = ["--log-level", "critical", "--no-access-log", "--ws", "none", "--lifespan", "off", "--backlog", "1024"]
    process = subprocess.Popen([*command, *quiet, *options], cwd=ROOT)
    try:
        until = time.monotonic() + 30
        while time.monotonic() < until:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait()


async def probed(client: McpClient, targets: list[Target], concurrency: int) -> list[tuple[Probe, float]]:
    """Each probe, and when it had ended (seconds from the start)."""
    begin = time.perf_counter()
    many = client.probe_many(
        enumerate(targets), timeout=TIMEOUT, deadline=time.monotonic() + 60, concurrency=concurrency
    )
    return [(probe, time.perf_counter() - begin) async for _, probe in many]


def run(name: str, targets: list[Target], concurrency: int) -> None:
    """The hanging server's own ten seconds are waited for, and are not in the figure of the others."""
    client = McpClient(Policy(allow_loopback=True))
    before = time.process_time()
    found = asyncio.run(probed(client, targets, concurrency))
    processor = time.process_time() - before
    well = [(probe, ended) for probe, ended in found if probe.reason is None]
    assert len(found) == len(targets), len(found)
    assert len(well) == len(targets) - 1, {probe.reason: probe.detail for probe, _ in found}
    seconds = max(ended for _, ended in well)
    times = sorted(probe.timings.total for probe, _ in well)
    p50, p99 = statistics.median(times), times[int(len(times) * 0.99)]
    print(
        f"{name}, {concurrency} at once: {len(well)} probes in {seconds:.1f} s, {len(well) / seconds:.0f} a second, "
        f"p50 {p50:.0f} ms, p99 {p99:.0f} ms, {processor / len(found) * 1000:.1f} ms of processor each; "
        f"with the one that hangs {found[-1][1]:.1f} s",
        flush=True,
    )


def main() -> None:
    tls = "--tls" in sys.argv
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        authority = issue("Benchmark", authority=True)
        options: list[str] = []
        if tls:
            chain, key = issue("bench", ("127.0.0.1",), by=authority).write(folder)
            options = ["--ssl-certfile", str(chain), "--ssl-keyfile", str(key)]
        ports = [stack.enter_context(serving(*options)) for _ in range(PROCESSES)]
        silent = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        scheme, ca = ("https", authority.pem) if tls else ("http", None)
        targets = [
            Target(f"{scheme}://127.0.0.1:{ports[number % PROCESSES]}/{number}", ca_certificate=ca)
            for number in range(INTEGRATIONS - 1)
        ]
        targets.insert(100, Target(f"{scheme}://127.0.0.1:{silent.getsockname()[1]}/", ca_certificate=ca))
        warm = McpClient(Policy(allow_loopback=True))
        asyncio.run(probed(warm, targets[:20], CONCURRENCY))
        run("TLS" if tls else "plain", targets, CONCURRENCY)


if __name__ == "__main__":
    main()
