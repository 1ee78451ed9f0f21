"""The WebSocket routes as clients see them."""

from __future__ import annotations

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from spandrel import wiring
from spandrel.errors import DatabaseUnavailableError
from spandrel.events.actions import BURST, FLOOD, PER_SECOND
from tests.support.knowledge import ADA, BOB, KnowledgeBase
from tests.support.postgres import until_waiting
from tests.support.realtime import Client, FakeFarewell, listen, sample
from tests.support.studio import Studio

LIMIT = 128 * 1024


@pytest.fixture
def ada(wired: KnowledgeBase) -> Client:
    return Client.of(ADA, "ada-1")


def connections(kb: KnowledgeBase) -> list[tuple[str, str, int | None, bool]]:
    rows = kb.rows("SELECT id, user_id, delivered_seq, live FROM connections ORDER BY id")
    return [(row["id"], row["user_id"], row["delivered_seq"], row["live"]) for row in rows]


def set_allowance(kb: KnowledgeBase, tokens: float) -> None:
    kb.rows("UPDATE connection_allowances SET tokens = %s, taken_at = clock_timestamp()", tokens)


# -- opening and closing


def test_a_ticket_opens_one_connection(wired: KnowledgeBase) -> None:
    ticket = wiring.tickets().issue(ADA).ticket
    assert Client(ticket, "first").status == 200
    again = Client(ticket, "second")
    assert (again.status, again.problem["code"]) == (401, "ticket_invalid")
    assert connections(wired) == [("first", ADA, None, False)]


@pytest.mark.parametrize("ticket", [None, "", "guess", "x" * 5000, "ticket\0"])
def test_without_a_good_ticket_there_is_no_connection(wired: KnowledgeBase, ticket: str | None) -> None:
    assert Client(ticket).status == 401
    assert connections(wired) == []


def test_a_ticket_past_its_time_opens_nothing(wired: KnowledgeBase) -> None:
    ticket = wiring.tickets().issue(ADA).ticket
    wired.rows("UPDATE realtime_tickets SET expires_at = now() - interval '1 second'")
    assert Client(ticket).status == 401


def test_a_connection_that_is_refused_by_a_fault_of_ours_says_so(
    wired: KnowledgeBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket = wiring.tickets().issue(ADA).ticket
    monkeypatch.setattr(wiring.connections().database, "_checkout", unavailable)
    refused = Client(ticket)
    assert (refused.status, refused.problem["code"]) == (503, "database_unavailable")


def unavailable(*_: object) -> None:
    raise DatabaseUnavailableError


def test_a_closed_connection_is_forgotten_and_counted_out(wired: KnowledgeBase, ada: Client) -> None:
    other = Client.of(ADA, "ada-2")
    assert wired.one("SELECT connections FROM event_counters WHERE user_id = %s", ADA) == 2
    ada.say(action="ping")
    ada.close()
    ada.close()
    other.close()
    assert connections(wired) == []
    assert wired.one("SELECT connections FROM event_counters WHERE user_id = %s", ADA) == 0
    assert wired.one("SELECT count(*) FROM connection_allowances") == 0


# -- actions


def test_ping_is_answered(ada: Client) -> None:
    assert ada.say(action="ping") == {"type": "pong"}
    assert ada.say(action="ping", request_id="7") == {"type": "pong", "request_id": "7"}


def test_binary_frames_are_read(ada: Client) -> None:
    body = base64.b64encode(b'{"action": "ping"}').decode()
    assert ada.send(body, isBase64Encoded=True) == {"type": "pong"}


def test_a_subscription_begins_now_or_where_it_is_told(wired: KnowledgeBase, ada: Client) -> None:
    for name in ("a", "b", "c"):
        wired.collection(name=name)
    heard = listen(wiring.database(wiring.APP_ROLE))
    assert ada.say(action="subscribe", request_id="1") == {
        "type": "subscribed", "request_id": "1", "after_seq": 3, "head_seq": 3,
    }  # fmt: skip
    assert connections(wired) == [("ada-1", ADA, 3, False)]
    for after_seq in (0, 1, 3):
        assert ada.say(action="subscribe", after_seq=after_seq)["after_seq"] == after_seq
        assert connections(wired) == [("ada-1", ADA, after_seq, False)]
    assert heard == [ADA] * 4


def test_subscribing_anew_forgets_what_went_wrong_before(wired: KnowledgeBase, ada: Client) -> None:
    wired.rows("UPDATE connections SET live = true, failures = 3, retry_at = now() + interval '1 hour'")
    ada.say(action="subscribe", after_seq=0)
    [row] = wired.rows("SELECT live, failures, retry_at FROM connections")
    assert row == {"live": False, "failures": 0, "retry_at": None}


def test_a_subscription_beyond_the_feed_or_before_what_is_kept_is_refused(wired: KnowledgeBase, ada: Client) -> None:
    for name in ("a", "b", "c"):
        wired.collection(name=name)
    heard = listen(wiring.database(wiring.APP_ROLE))
    ahead = ada.say(action="subscribe", after_seq=4)
    assert (ahead["code"], ahead["head_seq"], ahead["oldest_seq"]) == ("seq_ahead", 3, 1)
    wired.rows("DELETE FROM events WHERE seq <= 2")
    expired = ada.say(action="subscribe", after_seq=1, request_id="r")
    assert (expired["type"], expired["code"], expired["request_id"]) == ("error", "events_expired", "r")
    assert (expired["head_seq"], expired["oldest_seq"]) == (3, 3)
    assert (connections(wired), heard) == ([("ada-1", ADA, None, False)], [])
    assert ada.say(action="subscribe", after_seq=2)["type"] == "subscribed"
    wired.rows("DELETE FROM events")
    assert ada.say(action="subscribe", after_seq=2)["code"] == "events_expired"
    assert ada.say(action="subscribe", after_seq=3)["type"] == "subscribed"


def test_a_message_becomes_a_turn_once(wired: KnowledgeBase, studio: Studio, ada: Client) -> None:
    session = studio.begin()
    message = {"action": "send_message", "session_id": str(session.id), "client_message_id": "m1", "text": "Hello!"}
    answer = ada.say(**message, request_id="q")
    assert answer == {
        "type": "accepted", "request_id": "q", "turn_id": answer["turn_id"], "session_id": str(session.id),
        "status": "queued",
    }  # fmt: skip
    assert ada.say(**message)["turn_id"] == answer["turn_id"]
    assert [task["turn_id"] for task in studio.queue.messages] == [answer["turn_id"]]
    studio.model.then("Good day.")
    studio.work()
    assert ada.say(**message)["status"] == "completed"
    assert studio.said(session.id) == ["Hello!", "Good day."]


def test_a_queue_that_is_away_does_not_lose_the_message(studio: Studio, ada: Client, wired: KnowledgeBase) -> None:
    session = studio.begin()
    studio.queue.broken = True
    message = {"action": "send_message", "session_id": str(session.id), "client_message_id": "m1", "text": "Hello!"}
    assert ada.say(**message)["status"] == "queued"


def test_a_turn_is_cancelled(studio: Studio, ada: Client) -> None:
    turn = studio.ask(studio.begin().id, "Hello!")
    answer = ada.say(action="cancel_turn", turn_id=str(turn.id))
    assert (answer["type"], answer["turn_id"], answer["status"]) == ("accepted", str(turn.id), "cancelled")
    again = ada.say(action="cancel_turn", turn_id=str(turn.id))
    assert (again["code"], again["detail"]) == ("conflict", "The turn is cancelled already.")


def test_a_session_that_takes_no_turns_says_what_it_may_become(studio: Studio, ada: Client) -> None:
    session = studio.begin()
    studio.sessions.move(ADA, session.id, "paused")
    answer = ada.say(action="send_message", session_id=str(session.id), client_message_id="1", text="Hello!")
    assert answer["code"] == "illegal_move"
    assert "active" in answer["legal"]


# -- what is not the client's


def test_what_is_another_s_is_not_there(wired: KnowledgeBase, studio: Studio) -> None:
    session = studio.begin()
    turn = studio.ask(session.id, "Hello!")
    bob = Client.of(BOB, "bob-1")
    for message in (
        {"action": "send_message", "session_id": str(session.id), "client_message_id": "1", "text": "Hi"},
        {"action": "cancel_turn", "turn_id": str(turn.id)},
    ):
        assert bob.say(**message)["code"] == "not_found"
    assert studio.turns.get(ADA, turn.id).status == "queued"
    assert bob.say(action="subscribe")["head_seq"] == 0
    assert bob.say(action="subscribe", after_seq=1)["code"] == "seq_ahead"


def test_a_cursor_of_another_s_connection_cannot_be_set(wired: KnowledgeBase, ada: Client) -> None:
    from spandrel.errors import ConnectionUnknownError
    from spandrel.events.subscribe import subscribe

    with pytest.raises(ConnectionUnknownError):
        subscribe(wired.app, BOB, ada.connection_id, 0)
    assert connections(wired) == [("ada-1", ADA, None, False)]


# -- what is wrong


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "invalid_json"),
        ("{", "invalid_json"),
        ("[" * 100_000, "invalid_json"),
        ('{"action": "ping", "n": 1e999}', "invalid_json"),
        ("[]", "invalid_request"),
        ('"ping"', "invalid_request"),
        ("{}", "unknown_action"),
        ('{"action": "fly"}', "unknown_action"),
        ('{"action": ["ping"]}', "unknown_action"),
        ('{"action": "ping", "more": 1}', "invalid_request"),
        ('{"action": "ping", "request_id": ""}', "invalid_request"),
        (json.dumps({"action": "ping", "request_id": "r" * 129}), "invalid_request"),
        ('{"action": "subscribe", "after_seq": -1}', "invalid_request"),
        ('{"action": "subscribe", "after_seq": 1.5}', "invalid_request"),
        ('{"action": "subscribe", "after_seq": 9007199254740993}', "invalid_request"),
        ('{"action": "subscribe", "after_seq": 9007199254740991}', "seq_ahead"),
        ('{"action": "cancel_turn"}', "invalid_request"),
        ('{"action": "cancel_turn", "turn_id": "1"}', "invalid_request"),
        (json.dumps({"action": "ping", "x": "é" * (LIMIT // 2)}), "message_too_large"),
    ],
)
def test_what_is_wrong_is_told_and_the_connection_lives(ada: Client, text: str, code: str) -> None:
    answer = ada.send(text)
    assert (answer["type"], answer["code"]) == ("error", code)
    assert answer["detail"]
    assert ada.say(action="ping") == {"type": "pong"}


@pytest.mark.parametrize("text", [" ", "", "a\0b", "x" * 100_001])
def test_a_text_that_cannot_be_kept_is_refused(ada: Client, text: str) -> None:
    answer = ada.say(action="send_message", session_id=str(uuid4()), client_message_id="1", text=text, request_id="r")
    assert (answer["code"], answer["request_id"]) == ("invalid_request", "r")


@pytest.mark.parametrize("client_message_id", ["", "a b", "1\n", "\xe9"])
def test_an_id_that_a_message_cannot_have_is_refused(ada: Client, client_message_id: str) -> None:
    message = {"action": "send_message", "session_id": str(uuid4()), "text": "Hi"}
    assert ada.say(**message, client_message_id=client_message_id)["code"] == "invalid_request"


@pytest.mark.parametrize("route", ["$connect", "$disconnect"])
def test_a_client_cannot_play_the_gateway(wired: KnowledgeBase, ada: Client, route: str) -> None:
    """The gateway gives a message whose action is a route's key to that route."""
    request = sample("message", "ada-1")["requestContext"] | {"routeKey": route}
    answer = ada.send(json.dumps({"action": route}), requestContext=request)
    assert answer["code"] == "unknown_action"
    assert connections(wired) == [("ada-1", ADA, None, False)]


def test_an_unknown_action_is_told_which_there_are(ada: Client) -> None:
    assert ada.say(action="fly", request_id="r") | {"detail": ""} == {
        "type": "error", "code": "unknown_action", "detail": "", "request_id": "r",
        "actions": ["subscribe", "send_message", "cancel_turn", "ping"],
    }  # fmt: skip


def test_a_message_of_the_limit_is_taken(ada: Client) -> None:
    text = json.dumps({"action": "ping"})
    assert ada.send(text + " " * (LIMIT - len(text))) == {"type": "pong"}
    assert ada.send(text + " " * (LIMIT - len(text) + 1))["code"] == "message_too_large"


def test_a_fault_of_the_database_is_told_and_the_connection_lives(ada: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(wiring.actions().database, "_checkout", unavailable)
        answer = ada.say(action="ping", request_id="r")
    assert (answer["code"], answer["request_id"]) == ("database_unavailable", "r")
    assert ada.say(action="ping") == {"type": "pong"}


def test_what_nobody_foresaw_is_told_without_its_words(ada: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr(wiring, "turns", broken)
    answer = ada.say(action="cancel_turn", turn_id=str(uuid4()), request_id="r")
    assert (answer["code"], answer["request_id"]) == ("internal_error", "r")
    assert "secret" not in json.dumps(answer)


# -- too much


def test_messages_beyond_the_allowance_are_refused_until_it_has_grown(wired: KnowledgeBase, ada: Client) -> None:
    ada.say(action="ping")
    assert wired.one("SELECT tokens FROM connection_allowances") == BURST - 1
    set_allowance(wired, 0)
    wired.rows("UPDATE connection_allowances SET taken_at = clock_timestamp() + interval '1 minute'")
    answer = ada.say(action="ping", request_id="r")
    assert (answer["code"], answer["request_id"]) == ("rate_limited", "r")
    assert answer["retry_after"] == round(2 / PER_SECOND, 1)
    wired.rows("UPDATE connection_allowances SET taken_at = clock_timestamp() - interval '1 minute'")
    assert ada.say(action="ping") == {"type": "pong"}
    assert wired.one("SELECT tokens FROM connection_allowances") == BURST - 1


def test_what_is_wrong_counts_too(wired: KnowledgeBase, ada: Client) -> None:
    for _ in range(3):
        ada.send("{")
    assert wired.one("SELECT tokens FROM connection_allowances") < BURST - 2


def test_a_flood_is_told_so_and_closed(wired: KnowledgeBase, ada: Client, farewell: FakeFarewell) -> None:
    ada.say(action="ping")
    set_allowance(wired, -FLOOD - 1)
    assert ada.say(action="ping", request_id="r") is None
    [(connection_id, frame)] = farewell.closed
    assert (connection_id, frame["type"], frame["code"], frame["request_id"]) == ("ada-1", "error", "flood", "r")


def test_a_connection_that_is_not_known_any_more_is_told_so_and_closed(
    wired: KnowledgeBase, ada: Client, farewell: FakeFarewell
) -> None:
    wired.rows("UPDATE connections SET expires_at = now() - interval '1 second'")
    assert ada.say(action="ping") is None
    ada.close()
    assert ada.say(action="subscribe") is None
    assert [frame["code"] for _, frame in farewell.closed] == ["connection_unknown"] * 2


def test_a_first_message_that_meets_the_close_is_of_no_connection(
    wired: KnowledgeBase, ada: Client, farewell: FakeFarewell
) -> None:
    with ThreadPoolExecutor() as pool, psycopg.connect(wired.url) as closing:
        closing.execute("SELECT close_connection('ada-1')")
        answer = pool.submit(ada.say, action="ping")
        until_waiting(wired.url)
        closing.commit()
        assert answer.result() is None
    assert [frame["code"] for _, frame in farewell.closed] == ["connection_unknown"]


def test_an_allowance_that_a_crash_took_is_given_anew(wired: KnowledgeBase, ada: Client) -> None:
    ada.say(action="ping")
    wired.rows("TRUNCATE connection_allowances")
    assert ada.say(action="ping") == {"type": "pong"}
