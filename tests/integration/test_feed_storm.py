"""Five hundred random disconnects during five thousand events, three pumps, a queue that loses words: every client ends
with every seq once, in order.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec
import pytest

from spandrel.database import Database
from spandrel.events.broadcast import repair as repair_module, store
from spandrel.events.broadcast.repair import RepairFeed
from spandrel.events.ports import Delivery, Posted
from tests.support.feed import Feed, pumping, run

EVENTS, DISCONNECTS, PUMPS = 5000, 500, 3
USERS = ("ada", "bob", "carol", "dan")
CLIENTS_A_USER = 3
LOST_WORDS = 0.05
DEADLINE_SECONDS = 110


@dataclass
class Client:
    """As a client keeps its feed: `last` is what it subscribes after; what it has already is dropped."""

    name: str
    user: str
    last: int = 0
    connection: str | None = None
    number: int = 0
    repeated: int = 0
    faults: list[str] = field(default_factory=list)

    def take(self, frame: dict[str, object]) -> None:
        if frame["type"] != "event":
            return
        seq = frame["event"]["seq"]  # type: ignore[index]
        if seq <= self.last:
            self.repeated += 1
        elif seq == self.last + 1:
            self.last = seq
        else:
            self.faults.append(f"{seq} after {self.last}")


class Switchboard:
    """A gateway between pumps in threads and clients that come and go; now and then it is out of order."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.open: dict[str, Client] = {}

    async def post(self, connection_id: str, frame: bytes, *, timeout: float) -> Posted:
        with self.lock:
            client = self.open.get(connection_id)
            if client is None:
                return Posted(Delivery.GONE)
            dice = random.random()
            if dice < 0.001:
                return Posted(Delivery.THROTTLED)
            if dice > 0.002:
                client.take(msgspec.json.decode(frame))
            elif dice > 0.0015:
                client.take(msgspec.json.decode(frame))
                return Posted(Delivery.FAILED)  # it arrived, and nobody knows
            else:
                return Posted(Delivery.FAILED)
        return Posted(Delivery.SENT)

    async def disconnect(self, connection_id: str, *, timeout: float) -> Posted:
        with self.lock:
            client = self.open.pop(connection_id, None)
            if client is not None:
                client.connection = None
        return Posted(Delivery.SENT)

    def close(self) -> None:
        pass


class Storm:
    def __init__(self, feed: Feed) -> None:
        self.feed, self.board = feed, Switchboard()
        self.clients = [Client(f"{user}-{n}", user) for user in USERS for n in range(CLIENTS_A_USER)]
        self.done = threading.Event()
        self.errors: list[BaseException] = []
        self.written, self.disconnects = 0, 0

    def guarded(self, work: object, *arguments: object) -> threading.Thread:
        def body() -> None:
            try:
                work(*arguments)  # type: ignore[operator]
            except BaseException as error:  # noqa: BLE001 - the test shows it
                self.errors.append(error)
                self.done.set()

        thread = threading.Thread(target=body)
        thread.start()
        return thread

    def write(self, writer: int, count: int) -> None:
        source = random.Random(writer)
        database = self.feed.connect("spandrel_app")
        for _ in range(count):
            user = source.choice(USERS)
            statement = b"SELECT append_event(%s, 'test.thing', 'things/1', '{}') AS seq"
            database.run(statement, [user], user_id=user)
            with self.board.lock:
                self.written += 1
        database.close()

    def pump(self) -> None:
        database = self.feed.connect("spandrel_system")
        queue = self.feed.news.told
        with pumping(database, self.board, self.feed.news) as pump:
            while not self.done.is_set():
                users = set()
                while queue and len(users) < 10:
                    try:
                        users.add(queue.popleft())
                    except IndexError:
                        break
                if random.random() < LOST_WORDS:
                    users.clear()
                if users:
                    run(pump, *users)
                else:
                    time.sleep(0.002)
        database.close()

    def sweep(self) -> None:
        """The schedule, and the queue's delays, at a storm's pace."""
        database = self.feed.connect("spandrel_system")
        repair = RepairFeed(database, self.feed.news)
        while not self.done.is_set():
            time.sleep(0.3)
            with database.transaction() as tx:
                tx.execute(b"UPDATE connections SET retry_at = now() WHERE retry_at > now()")
            repair.run(100)
            self.feed.news.reminders.clear()
        database.close()

    def connect(self, client: Client, database: Database) -> None:
        client.number += 1
        connection = f"{client.name}/{client.number}"
        with self.board.lock:
            self.board.open[connection] = client
            client.connection = connection
        self.feed.open(connection, client.user, after=client.last, database=database)

    def break_off(self, client: Client, database: Database) -> None:
        with self.board.lock:
            connection, client.connection = client.connection, None
            if connection is None:
                return
            self.board.open.pop(connection, None)
        if random.random() < 0.5:  # the gateway does not always say so
            self.feed.shut(connection, client.user, database)

    def churn(self) -> None:
        database = self.feed.connect("spandrel_app")
        for client in self.clients:
            self.connect(client, database)
        while self.written < EVENTS or self.disconnects < DISCONNECTS:
            due = EVENTS if self.disconnects >= DISCONNECTS else self.disconnects * EVENTS // DISCONNECTS
            client = random.choice(self.clients)
            if self.written >= due and self.disconnects < DISCONNECTS:
                self.break_off(client, database)
                self.disconnects += 1
                if random.random() < 0.7:
                    self.connect(client, database)
            else:
                time.sleep(0.002)
            if self.done.is_set():
                break
        while not self.done.wait(0.1):  # those that are away come back in the end
            for client in self.clients:
                if client.connection is None:
                    self.connect(client, database)
        database.close()

    def finished(self) -> bool:
        if self.written < EVENTS or self.disconnects < DISCONNECTS:
            return False
        heads = {row["user_id"]: row["seq"] for row in self.feed.system.run(b"SELECT user_id, seq FROM event_counters")}
        return all(client.last == heads[client.user] for client in self.clients)


@pytest.fixture
def storm(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Storm]:
    monkeypatch.setattr(repair_module, "OVERLOOKED_SECONDS", 0.2)
    monkeypatch.setattr(store, "PAGE_EVENTS", 40)
    feed = Feed(database_url)
    yield Storm(feed)
    feed.close()


def test_every_client_ends_with_every_event_once(storm: Storm) -> None:
    threads = [storm.guarded(storm.churn), storm.guarded(storm.sweep)]
    threads += [storm.guarded(storm.pump) for _ in range(PUMPS)]
    threads += [storm.guarded(storm.write, writer, EVENTS // 2) for writer in range(2)]
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not storm.done.is_set() and time.monotonic() < deadline and not storm.finished():
        time.sleep(0.1)
    storm.done.set()
    for thread in threads:
        thread.join(30)
    assert storm.errors == []
    assert {client.name: client.faults for client in storm.clients if client.faults} == {}
    assert storm.finished(), [(client.name, client.last, client.connection) for client in storm.clients]
    assert (storm.written, storm.disconnects) == (EVENTS, DISCONNECTS)
