"""The WebSocket API as it is deployed, with a real client: who gets in, what is answered, what a fault comes to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.support.stack_user import StackUser, rows, until

SECONDS = 30


@pytest.fixture(scope="module")
def user(stack: Any) -> StackUser:
    return StackUser(stack)


def address(user: StackUser) -> str:
    found = user.call("POST", "/v1/realtime/tickets")
    assert found["url"] == user.stack.websocket_url
    return f"{found['url']}?ticket={found['ticket']}"


@pytest.fixture
def socket(user: StackUser) -> Iterator[ClientConnection]:
    with connect(address(user)) as found:
        yield found


def say(socket: ClientConnection, **message: Any) -> dict[str, Any]:
    return send(socket, json.dumps(message))


def send(socket: ClientConnection, message: str | bytes) -> dict[str, Any]:
    """The answer; events that come meanwhile are not looked at."""
    socket.send(message)
    while True:
        frame: dict[str, Any] = json.loads(socket.recv(timeout=SECONDS))
        if frame["type"] not in ("event", "live", "delta", "text"):
            return frame


def connections(user: StackUser) -> int:
    [row] = rows(
        user.stack,
        "SELECT count(*) AS n FROM connections c JOIN event_counters e USING (user_id) WHERE user_id ="
        " (SELECT user_id FROM collections WHERE id = %s)",
        user.collection(),
    )
    return int(row["n"])


def test_a_ticket_opens_a_connection_and_closing_it_takes_it_away(user: StackUser) -> None:
    before = connections(user)
    with connect(address(user)) as socket:
        assert say(socket, action="ping", request_id="1") == {"type": "pong", "request_id": "1"}
        assert connections(user) == before + 1
    until(lambda: connections(user) == before, what="the end of the connection")


def test_a_ticket_is_good_once(user: StackUser) -> None:
    url = address(user)
    with connect(url) as socket:
        assert say(socket, action="ping") == {"type": "pong"}
        with pytest.raises(InvalidStatus), connect(url):
            pass


@pytest.mark.parametrize("query", ["", "?ticket=", "?ticket=guess"])
def test_without_a_good_ticket_nobody_gets_in(stack: Any, query: str) -> None:
    with pytest.raises(InvalidStatus), connect(stack.websocket_url + query):
        pass


def test_a_ticket_past_its_time_opens_nothing(user: StackUser) -> None:
    url = address(user)
    with psycopg.connect(user.stack.database_url, autocommit=True) as database:
        database.execute("UPDATE realtime_tickets SET expires_at = now() - interval '1 second'")
    with pytest.raises(InvalidStatus), connect(url):
        pass


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("nonsense", "invalid_json"),
        ("[]", "invalid_request"),
        ('{"action": "fly"}', "unknown_action"),
        ('{"action": "$connect"}', "unknown_action"),
        ('{"action": "$disconnect"}', "unknown_action"),
        ('{"action": "ping", "more": 1}', "invalid_request"),
        (json.dumps({"action": "ping", "more": "x" * 140_000}), "message_too_large"),
        ('{"action": "subscribe", "after_seq": 9007199254740991}', "seq_ahead"),
    ],
)
def test_what_is_wrong_is_told_and_the_connection_lives(socket: ClientConnection, message: str, code: str) -> None:
    answer = send(socket, message)
    assert (answer["type"], answer["code"]) == ("error", code)
    assert say(socket, action="ping") == {"type": "pong"}


def test_binary_frames_are_read(socket: ClientConnection) -> None:
    assert send(socket, b'{"action": "ping"}') == {"type": "pong"}


def test_a_subscription_is_told_where_the_feed_is(user: StackUser, socket: ClientConnection) -> None:
    user.collection()
    answer = say(socket, action="subscribe", after_seq=0, request_id="s")
    assert (answer["type"], answer["request_id"], answer["after_seq"]) == ("subscribed", "s", 0)
    assert answer["head_seq"] >= 1


def test_a_message_becomes_a_turn_that_is_answered(user: StackUser, socket: ClientConnection) -> None:
    template = user.call("POST", "/v1/templates", {"name": "talk", "source": "Be kind."})["template"]["id"]
    session = user.call("POST", "/v1/sessions", {"template": {"id": template}})["id"]
    message = {"action": "send_message", "session_id": session, "client_message_id": "1", "text": "Hello!"}
    answer = say(socket, **message, request_id="m")
    assert (answer["type"], answer["request_id"], answer["session_id"]) == ("accepted", "m", session)
    turn = answer["turn_id"]
    assert say(socket, **message)["turn_id"] == turn
    until(lambda: user.call("GET", f"/v1/turns/{turn}")["status"] == "completed", what="the turn")
    told = user.call("GET", "/v1/events?types=turn.*&limit=100")["items"]
    assert [each["type"] for each in told if each["subject"] == f"turns/{turn}"] == [
        "turn.queued", "turn.started", "turn.completed",
    ]  # fmt: skip
    assert say(socket, action="cancel_turn", turn_id=turn)["code"] == "conflict"


def test_what_is_another_s_is_not_there(stack: Any, user: StackUser) -> None:
    template = user.call("POST", "/v1/templates", {"name": "mine", "source": "Be kind."})["template"]["id"]
    session = user.call("POST", "/v1/sessions", {"template": {"id": template}})["id"]
    with connect(address(StackUser(stack))) as bob:
        answer = say(bob, action="send_message", session_id=session, client_message_id="1", text="Hello!")
    assert answer["code"] == "not_found"


def test_a_long_poll_is_answered_when_something_happens(user: StackUser) -> None:
    head = user.call("GET", "/v1/events?limit=1")["head_seq"]
    assert user.call("GET", f"/v1/events?after_seq={head}&wait=1")["items"] == []
    collection = user.collection()
    told = user.call("GET", f"/v1/events?after_seq={head}&wait=20&types=collection.*")["items"]
    assert [each["subject"] for each in told] == [f"collections/{collection}"]
    assert user.call("GET", f"/v1/events/{head + 1}") == told[0]


def test_a_flood_is_slowed_and_then_closed_with_a_reason(user: StackUser) -> None:
    codes: list[str] = []
    with connect(address(user)) as socket:
        for _ in range(400):
            socket.send('{"action": "ping"}')
        with suppress(ConnectionClosed):
            while True:
                frame = json.loads(socket.recv(timeout=SECONDS))
                codes.append(frame.get("code", frame["type"]))
    assert codes[0] == "pong"
    assert codes.count("rate_limited") >= 50
    assert codes[-1] == "flood"
