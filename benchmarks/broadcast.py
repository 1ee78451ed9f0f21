"""Broadcast from one process over TLS beside boto3 in threads, at the gateway's quota, and the whole pump on Postgres.

    python -m benchmarks.broadcast

Both sides post the same frame to the same local endpoint, which is a process of its own and answers as soon as it can;
its own limit is printed (three clients at once, each a process). Then every answer takes 15 ms and the token bucket
holds us to the account's 10,000 messages a second. Last, the pump: 1,000 connections of 100 users with 10 % gone and
one that never answers; each of the others must get every event in order.
"""

from __future__ import annotations

import asyncio
import os
import random
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import Pipe, Process
from multiprocessing.connection import Connection

from benchmarks import server
from benchmarks.gateway_server import Running, endpoint
from spandrel.adapters.connections import ApiGatewayConnections
from spandrel.adapters.token_bucket import TokenBucket
from spandrel.events.broadcast import deliver
from spandrel.events.broadcast.pump import Pump
from spandrel.events.frames import event_frame
from spandrel.events.models import StoredEvent
from spandrel.events.ports import Delivery

QUOTA, BURST = 10_000, 5_000
BOTO_THREADS = 8
USERS, CONNECTIONS, EVENTS = 100, 1_000, 20


def frame() -> bytes:
    from datetime import UTC, datetime

    data = {"session_id": "0198c0de-0000-7000-8000-000000000000", "number": 3, "checkpoint": 4, "ordinal": 8}
    return event_frame(
        StoredEvent(
            user_id="u", seq=7, type="turn.completed", subject="turns/1", data=data, created_at=datetime.now(UTC)
        )
    )


async def post_all(gateway: ApiGatewayConnections, total: int, workers: int) -> float:
    """Messages a second: `total` to as many connections as there are workers."""
    content = frame()

    async def worker(name: str, left: Iterator[int]) -> None:
        for _ in left:
            posted = await gateway.post(name, content, timeout=30)
            assert posted.delivery is Delivery.SENT

    await asyncio.gather(*(worker(f"L0SM9cO{n}=", iter(range(2))) for n in range(workers)))  # connections are made
    left, begin = iter(range(total)), time.perf_counter()
    await asyncio.gather(*(worker(f"L0SM9cO{n}=", left) for n in range(workers)))
    return total / (time.perf_counter() - begin)


def ours(running: Running, total: int, workers: int, bucket: Callable[[], TokenBucket] | None = None) -> float:
    async def main() -> float:
        gateway = running.gateway(bucket() if bucket else None)
        try:
            return await post_all(gateway, total, workers)
        finally:
            gateway.close()
            await asyncio.sleep(0.01)

    return asyncio.run(main())


def boto(running: Running, total: int, threads: int) -> float:
    import boto3
    from botocore.config import Config

    client = boto3.client(
        "apigatewaymanagementapi",
        region_name="eu-central-1",
        endpoint_url=running.url,
        verify=str(running.certificate),
        config=Config(max_pool_connections=threads, retries={"total_max_attempts": 1}),
    )
    content = frame()

    def worker(number: int) -> None:
        for _ in range(total // threads):
            client.post_to_connection(ConnectionId=f"L0SM9cO{number}=", Data=content)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(worker, range(threads)))  # connections are made
        begin = time.perf_counter()
        list(pool.map(worker, range(threads)))
        taken = time.perf_counter() - begin
    client.close()
    return total / taken


def _in_a_process(running: Running, total: int, pipe: Connection) -> None:
    pipe.send(ours(running, total, 32))


def limit_of(running: Running) -> float:
    pipes = []
    for _ in range(3):
        mine, theirs = Pipe()
        Process(target=_in_a_process, args=(running, 20_000, theirs)).start()
        pipes.append(mine)
    return float(sum(pipe.recv() for pipe in pipes))


def compare() -> None:
    with endpoint() as running:
        pairs = []
        for _ in range(3):
            theirs, mine = boto(running, 2_000, BOTO_THREADS), ours(running, 30_000, 64)
            pairs.append((mine, theirs))
        limit = limit_of(running)
        running.stop()
    mine, theirs = (statistics.median(each) for each in zip(*pairs, strict=True))
    ratio = statistics.median(a / b for a, b in pairs)
    print(
        f"messages a second over TLS, one process: ours {mine:,.0f}, boto3 in {BOTO_THREADS} threads {theirs:,.0f}, "
        f"ratio {ratio:.1f} (three of ours against the endpoint: {limit:,.0f})",
        flush=True,
    )


def at_the_quota() -> None:
    with endpoint(delay=0.015) as running:
        rate = ours(running, 60_000, 200, lambda: TokenBucket(QUOTA, 1))
        running.stop()
    print(f"with 15 ms an answer, through the token bucket of {QUOTA:,} a second: {rate:,.0f} a second", flush=True)


class NoReminders:
    def remind(self, user_ids: object, delay_seconds: float) -> None:
        pass


def whole_pump(address: str) -> None:
    """A round is one event for every user, committed, and one word for all of them."""
    url = server.fresh_database(address, "broadcast", "bench", 8)
    app, system = server.as_role(url, "spandrel_app"), server.as_role(url, "spandrel_system")
    names = [f"gone{n}" if n % 10 == 3 else f"open{n}" for n in range(CONNECTIONS - 1)] + ["stalled"]
    users = [f"user-{n}" for n in range(USERS)]
    for number, name in enumerate(names):
        user = users[number % USERS]
        with app.transaction(user) as tx:
            tx.execute(
                b"INSERT INTO connections (id, user_id, delivered_seq, live) VALUES (%s, %s, 0, true)", [name, user]
            )
    deliver.POST_SECONDS = 2.0
    committed: dict[int, float] = {}
    flights, passes = 0, []
    with endpoint(keep=True) as running, asyncio.Runner() as runner:
        gateway = running.gateway(TokenBucket(QUOTA, BURST))
        pump = Pump(system, gateway, NoReminders(), runner)
        for seq in range(1, EVENTS + 1):
            with app.transaction() as tx:
                for user in random.sample(users, USERS):
                    tx.execute(b"SELECT set_config('spandrel.user_id', %s, true)", [user])
                    tx.execute(b"SELECT append_event(%s, 'test.thing', 'things/1', '{}')", [user])
            committed[seq] = time.time()
            begin = time.perf_counter()
            report = pump.run(users, lambda: 60.0)
            passes.append(time.perf_counter() - begin)
            flights += report.flights
        gateway.close()
        runner.run(asyncio.sleep(0.01))
        arrived = running.stop()
    for name in names:
        if name.startswith("open"):
            assert [seq for _, seq in arrived[name]] == list(range(1, EVENTS + 1)), name
    waits = [(at - committed[seq]) * 1000 for found in arrived.values() for at, seq in found]
    first = [(at - committed[seq]) * 1000 for found in arrived.values() for at, seq in found if seq == 1]
    warm = statistics.quantiles([w for w in waits if w not in first], n=100)
    cold = statistics.quantiles(first, n=100)
    print(
        f"pump, {CONNECTIONS:,} connections of {USERS} users, 10 % gone, one stalled: all {len(arrived)} others served "
        f"in order; commit to delivery p50 {warm[49]:.0f} ms, p99 {warm[98]:.0f} ms (first event, connections to "
        f"make and the gone to find: p50 {cold[49]:.0f}, p99 {cold[98]:.0f}); {flights / EVENTS:.1f} flights a pass of "
        f"{USERS} users",
        flush=True,
    )


def one_user(address: str) -> None:
    url = server.fresh_database(address, "broadcast_one", "bench", 8)
    app, system = server.as_role(url, "spandrel_app"), server.as_role(url, "spandrel_system")
    for name in ("open1", "open2"):
        with app.transaction("ada") as tx:
            tx.execute(
                b"INSERT INTO connections (id, user_id, delivered_seq, live) VALUES (%s, 'ada', 0, true)", [name]
            )
    times, flights = [], 0
    with endpoint(keep=True) as running, asyncio.Runner() as runner:
        gateway = running.gateway()
        pump = Pump(system, gateway, NoReminders(), runner)
        for _ in range(200):
            app.run(b"SELECT append_event('ada', 'test.thing', 'things/1', '{}')", user_id="ada")
            begin = time.perf_counter()
            flights += pump.run(["ada"], lambda: 60.0).flights
            times.append((time.perf_counter() - begin) * 1000)
        gateway.close()
        runner.run(asyncio.sleep(0.01))
        running.stop()
    cuts = statistics.quantiles(times, n=100)
    print(
        f"a pass for one user with two connections and one event: p50 {cuts[49]:.1f} ms, p99 {cuts[98]:.1f} ms, "
        f"{flights / len(times):.2f} flights",
        flush=True,
    )


def main() -> None:
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "s" * 40,
        "AWS_SESSION_TOKEN": "t" * 600,
    }
    compare()
    at_the_quota()
    with server.postgres() as address:
        whole_pump(address)
        one_user(address)


if __name__ == "__main__":
    main()
