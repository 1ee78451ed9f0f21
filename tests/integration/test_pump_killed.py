"""Pumps that are killed with -9 while they send to a real gateway server: nothing is lost, nothing out of order."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.support.feed import Feed
from tests.support.gateway import GatewayServer
from tests.support.knowledge import ADA

KILLS = 6
EVENTS = 1000


@pytest.fixture
def feed(database_url: str) -> Iterator[Feed]:
    found = Feed(database_url)
    yield found
    found.close()


@pytest.fixture
def server() -> Iterator[GatewayServer]:
    with GatewayServer() as found:
        yield found


def pump_process(feed: Feed, server: GatewayServer) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.pump_worker", feed.url, server.url, ADA],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    return process


def seqs(told: list[str]) -> list[int]:
    return [int(each) for each in told if not each.startswith("live")]


def test_nothing_is_lost_whenever_a_pump_dies(feed: Feed, server: GatewayServer) -> None:
    server.behave = lambda connection_id: 0.0005
    feed.append(EVENTS)
    for name in ("a", "b"):
        feed.open(name, after=0)
    repeats = 0
    for kill in range(KILLS):
        before = len(server.frames["a"])
        process = pump_process(feed, server)
        while len(server.frames["a"]) < min(before + random.randint(1, EVENTS // KILLS), EVENTS) and kill < KILLS - 1:
            time.sleep(0.001)
        process.kill()
        process.communicate()
        repeats += 1
        feed.change(b"UPDATE connections SET lease_until = now()")  # as seconds pass
    process = pump_process(feed, server)
    assert process.stdout is not None
    assert process.stdout.readline() == "done\n"
    process.communicate()
    assert process.returncode == 0
    for name in ("a", "b"):
        told, last = seqs(server.told(name)), 0
        for seq in told:
            assert seq <= last + 1, "a gap"
            last = max(last, seq)
        assert last == EVENTS
        assert server.told(name)[-1] == f"live {EVENTS}"
        # A pump that died repeats a page at most.
        assert len(told) - EVENTS <= 100 * (repeats + 1)
