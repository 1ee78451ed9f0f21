"""The gateway of connections: what the real adapter makes of a real server's answers, over TLS and without; the fake
is held to the same.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from spandrel.adapters import connections, http_pool
from spandrel.adapters.connections import ApiGatewayConnections
from spandrel.adapters.token_bucket import TokenBucket
from spandrel.events.frames import live_frame
from spandrel.events.ports import Delivery, Gateway, Posted
from spandrel.settings import RealtimeSettings
from tests.support.gateway import FakeGateway, GatewayServer
from tests.support.gateway_tls import server_context, write_certificate

ID = "L0SM9cOFvHcCIhw="
FRAME = live_frame(1)


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, name.lower())


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(params=["http", "https"])
def server(request: pytest.FixtureRequest, certificate: tuple[Path, Path]) -> Iterator[GatewayServer]:
    with GatewayServer(server_context(*certificate) if request.param == "https" else None) as found:
        yield found


@pytest.fixture
def trusted(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate[0]))


Use = Callable[[Callable[[Gateway], Any]], Any]


def settings(url: str) -> RealtimeSettings:
    return RealtimeSettings("unused", url, "eu-central-1", None)


@pytest.fixture
def use(server: GatewayServer, trusted: ssl.SSLContext) -> Use:
    """Runs a coroutine with the adapter before the server."""

    def run(work: Callable[[Gateway], Any]) -> Any:
        async def main() -> Any:
            gateway = ApiGatewayConnections(settings(server.url), tls=trusted)
            try:
                return await work(gateway)
            finally:
                gateway.close()
                await asyncio.sleep(0.01)

        return asyncio.run(main())

    return run


async def post(gateway: Gateway, times: int = 1, timeout: float = 5) -> list[Posted]:
    return [await gateway.post(ID, FRAME, timeout=timeout) for _ in range(times)]


def test_frames_arrive_in_order_on_one_kept_connection(server: GatewayServer, use: Use) -> None:
    async def work(gateway: Gateway) -> list[Posted]:
        return [await gateway.post(ID, live_frame(seq), timeout=5) for seq in range(20)]

    assert use(work) == [Posted(Delivery.SENT)] * 20
    assert server.told(ID) == [f"live {seq}" for seq in range(20)]
    assert server.sockets == 1
    assert server.requests[0][:2] == ("POST", "/_aws/execute-api/api/live/@connections/L0SM9cOFvHcCIhw%3D")


def test_a_request_is_what_botocore_would_send(server: GatewayServer, use: Use, certificate: tuple[Path, Path]) -> None:
    use(post)
    use(lambda gateway: gateway.disconnect(ID, timeout=5))
    client = boto3.client(
        "apigatewaymanagementapi",
        region_name="eu-central-1",
        endpoint_url=server.url,
        verify=str(certificate[0]),
        config=Config(retries={"total_max_attempts": 1}),
    )
    client.post_to_connection(ConnectionId=ID, Data=FRAME)
    client.delete_connection(ConnectionId=ID)
    client.close()
    ours, our_delete, theirs, their_delete = server.requests
    assert (ours[:2], our_delete[:2]) == (theirs[:2], their_delete[:2])
    signed = "credential=aws_access_key_id/"
    for mine, their in ((ours, theirs), (our_delete, their_delete)):
        assert signed in mine[2]["authorization"]
        assert mine[2]["authorization"].split("signature=")[0] == their[2]["authorization"].split("signature=")[0]
        assert mine[2]["host"] == their[2]["host"]


@pytest.mark.parametrize(
    ("status", "delivery"),
    [
        (200, Delivery.SENT),
        (204, Delivery.SENT),
        (410, Delivery.GONE),
        (429, Delivery.THROTTLED),
        (400, Delivery.FAILED),
        (403, Delivery.FAILED),
        (413, Delivery.FAILED),
        (500, Delivery.FAILED),
        (503, Delivery.FAILED),
    ],
)
def test_what_a_status_means(server: GatewayServer, use: Use, status: int, delivery: Delivery) -> None:
    server.behave = lambda connection_id: status
    assert [each.delivery for each in use(lambda gateway: post(gateway, 2))] == [delivery] * 2
    assert server.sockets == 1


@pytest.mark.parametrize(
    ("header", "expected"), [("7", 7.0), ("Tue, 24 Nov 2020 00:00:00 GMT", 0.0), ("soon", None), ("-1", None)]
)
def test_how_long_the_gateway_wants_to_be_left_alone(
    server: GatewayServer, use: Use, header: str, expected: float | None
) -> None:
    server.behave, server.headers = lambda connection_id: 429, f"Retry-After: {header}\r\n"
    assert use(post) == [Posted(Delivery.THROTTLED, expected)]


def test_a_quota_used_up_empties_the_bucket(server: GatewayServer, trusted: ssl.SSLContext) -> None:
    bucket = TokenBucket(1000, 500)

    async def main() -> None:
        gateway = ApiGatewayConnections(settings(server.url), bucket, trusted)
        await post(gateway)
        assert bucket.reserve(0) == 0
        server.behave = lambda connection_id: 429
        await post(gateway)
        assert bucket.reserve(0) is None
        gateway.close()

    asyncio.run(main())


def test_one_without_a_token_in_time_is_throttled_and_sends_nothing(
    server: GatewayServer, trusted: ssl.SSLContext
) -> None:
    async def main() -> None:
        gateway = ApiGatewayConnections(settings(server.url), TokenBucket(0.01, 1), trusted)
        assert [each.delivery for each in await post(gateway, 2)] == [Delivery.SENT, Delivery.THROTTLED]
        gateway.close()

    asyncio.run(main())
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\ncontent-le",
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"\x16\x03\x01" * 50_000,
    ],
)
def test_what_is_no_answer_is_a_fault_and_the_next_one_is_sent(server: GatewayServer, use: Use, answer: bytes) -> None:
    behaviours: list[int | bytes] = [200, answer, answer, 200] if not answer else [200, answer, 200]
    server.behave = lambda connection_id: behaviours.pop(0)
    assert [each.delivery for each in use(lambda gateway: post(gateway, 3))] == [
        Delivery.SENT,
        Delivery.FAILED,
        Delivery.SENT,
    ]
    assert behaviours == []


def test_a_kept_connection_that_was_closed_meanwhile_costs_one_more_try(server: GatewayServer, use: Use) -> None:
    behaviours: list[int | bytes] = [200, b"", 200]
    server.behave = lambda connection_id: behaviours.pop(0)
    assert use(lambda gateway: post(gateway, 2)) == [Posted(Delivery.SENT)] * 2
    assert server.sockets == 2


def test_an_answer_that_closes_is_the_last_of_its_connection(server: GatewayServer, use: Use) -> None:
    server.headers = "Connection: close\r\n"
    assert use(lambda gateway: post(gateway, 3)) == [Posted(Delivery.SENT)] * 3
    assert server.sockets == 3


def test_one_that_hangs_is_given_up_and_its_late_answer_taken_for_nobody_s(server: GatewayServer, use: Use) -> None:
    behaviours: list[int | float] = [0.3, 410]
    server.behave = lambda connection_id: behaviours.pop(0)

    async def work(gateway: Gateway) -> list[Posted]:
        found = await post(gateway, timeout=0.1)
        await asyncio.sleep(0.3)
        return found + await post(gateway)

    assert [each.delivery for each in use(work)] == [Delivery.FAILED, Delivery.GONE]


def test_what_nobody_asked_for_ends_a_connection(trusted: ssl.SSLContext) -> None:
    """A second answer to one request would be taken for the next one's."""
    accepted = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.append(writer)
        await reader.readuntil(b"1}")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        await asyncio.sleep(0.05)
        writer.write(b"HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n")

    async def main() -> list[Posted]:
        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        gateway = ApiGatewayConnections(settings(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/live"))
        found = await post(gateway)
        await asyncio.sleep(0.2)
        found += await post(gateway)
        gateway.close()
        server.close()
        for writer in accepted:
            writer.close()
        await asyncio.sleep(0.1)
        return found

    assert asyncio.run(main()) == [Posted(Delivery.SENT)] * 2
    assert len(accepted) == 2


def test_an_answer_that_runs_to_the_end_of_its_connection_is_taken(server: GatewayServer, use: Use) -> None:
    server.behave = lambda connection_id: b"HTTP/1.1 410 Gone\r\n\r\ngone"
    assert [each.delivery for each in use(lambda gateway: post(gateway, 2))] == [Delivery.GONE] * 2


def test_one_that_is_called_off_leaves_nothing_behind(server: GatewayServer, use: Use) -> None:
    behaviours: list[int | float] = [0.3, 410]
    server.behave = lambda connection_id: behaviours.pop(0)

    async def work(gateway: Gateway) -> list[Posted]:
        task = asyncio.create_task(post(gateway))
        await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return await post(gateway)

    assert [each.delivery for each in use(work)] == [Delivery.GONE]


def test_where_there_is_no_room_nothing_is_sent_and_nobody_is_blamed(
    server: GatewayServer, use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "POOL_SIZE", 1)
    server.behave = lambda connection_id: 0.5 if connection_id == ID else 200

    async def work(gateway: Gateway) -> list[Posted]:
        first = asyncio.create_task(post(gateway))
        await asyncio.sleep(0.1)
        waiting = [gateway.post("b", FRAME, timeout=wait) for wait in (0.05, 5)]
        return [*await asyncio.gather(*waiting), *await first]

    assert [each.delivery for each in use(work)] == [Delivery.THROTTLED, Delivery.SENT, Delivery.SENT]
    assert server.sockets == 1


def test_many_at_once_share_a_bounded_pool(server: GatewayServer, use: Use, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "POOL_SIZE", 8)
    server.behave = lambda connection_id: 0.01

    async def work(gateway: Gateway) -> set[Posted]:
        return set(await asyncio.gather(*(gateway.post(f"c{n}", FRAME, timeout=5) for n in range(100))))

    assert use(work) == {Posted(Delivery.SENT)}
    assert server.sockets == 8


def test_nobody_there_is_a_fault() -> None:
    async def main() -> list[Posted]:
        return await post(ApiGatewayConnections(settings("http://127.0.0.1:9/live")))

    assert asyncio.run(main()) == [Posted(Delivery.FAILED)]


def test_a_server_that_never_shakes_hands_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_pool, "CONNECT_SECONDS", 0.1)

    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}/live"

        async def main() -> list[Posted]:
            return await post(ApiGatewayConnections(settings(url)))

        assert asyncio.run(main()) == [Posted(Delivery.FAILED)]


def test_a_certificate_that_nobody_vouches_for_is_refused(certificate: tuple[Path, Path]) -> None:
    async def main(url: str) -> list[Posted]:
        return await post(ApiGatewayConnections(settings(url)))

    with GatewayServer(server_context(*certificate)) as server:
        assert asyncio.run(main(server.url)) == [Posted(Delivery.FAILED)]
        assert server.requests == []


@pytest.mark.parametrize("answer", [Posted(Delivery.GONE), Posted(Delivery.THROTTLED, 1.0), Posted(Delivery.FAILED)])
def test_the_fake_keeps_what_is_sent_and_answers_as_it_is_told(answer: Posted) -> None:
    fake = FakeGateway()

    async def main() -> list[Posted]:
        sent = await post(fake)
        fake.answers = lambda connection_id: answer
        refused = await post(fake)
        fake.answers = lambda connection_id: 9.0
        return sent + refused + await post(fake, timeout=0.01) + [await fake.disconnect(ID, timeout=1)]

    assert asyncio.run(main()) == [Posted(Delivery.SENT), answer, Posted(Delivery.FAILED), Posted(Delivery.SENT)]
    assert (fake.told(ID), fake.disconnected) == (["live 1"], [ID])
