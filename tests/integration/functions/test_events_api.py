"""The feed and tickets over HTTP."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from functions.api.handler import handler
from spandrel import wiring
from spandrel.events.history import History
from tests.support.api import call, validate
from tests.support.events import Context, http_event
from tests.support.knowledge import ADA, KnowledgeBase
from tests.support.realtime import Client


@pytest.fixture
def three(wired: KnowledgeBase) -> KnowledgeBase:
    for name in ("a", "b", "c"):
        wired.collection(name=name)
    return wired


def test_the_feed_is_paged_in_order(three: KnowledgeBase) -> None:
    first = call("GET", "/v1/events", query={"limit": 2})
    validate("list_events", first)
    assert [event["seq"] for event in first.json["items"]] == [1, 2]
    assert {name: first.json[name] for name in ("next_after_seq", "head_seq", "oldest_seq")} == {
        "next_after_seq": 2, "head_seq": 3, "oldest_seq": 1,
    }  # fmt: skip
    rest = call("GET", "/v1/events", query={"after_seq": 2}).json
    assert [(event["seq"], event["type"], event["data"]) for event in rest["items"]] == [
        (3, "collection.created", {"name": "c"})
    ]


def test_an_event_is_a_cloud_event(three: KnowledgeBase) -> None:
    found = call("GET", "/v1/events/2")
    validate("get_event", found)
    event = found.json
    assert (event["specversion"], event["source"], event["seq"]) == ("1.0", "/spandrel/feed", 2)
    assert event["id"].endswith("/2")
    assert event["subject"].startswith("collections/")
    assert datetime.fromisoformat(event["time"]) <= datetime.now(UTC)
    assert "dataref" not in event
    assert event == call("GET", "/v1/events", query={"after_seq": 1, "limit": 1}).json["items"][0]


def test_types_filter_and_what_is_none_is_refused(three: KnowledgeBase) -> None:
    assert call("GET", "/v1/events", query={"types": "document.*"}).json["items"] == []
    both = call("GET", "/v1/events", query={"types": ["document.*", "collection.created"]}).json["items"]
    assert len(both) == 3
    for wrong in ("*", "document", "Document.ready", "document.*x", "a.b; DROP", "x" * 101):
        assert call("GET", "/v1/events", query={"types": wrong}).code == "invalid_request", wrong


@pytest.mark.parametrize("query", [{"after_seq": -1}, {"after_seq": 2**53}, {"limit": 0}, {"limit": 101}, {"wait": 21}])
def test_numbers_out_of_range_are_refused(wired: KnowledgeBase, query: dict[str, int]) -> None:
    assert call("GET", "/v1/events", query=query).code == "invalid_request"


def test_who_comes_too_late_is_told_where_to_go_on(three: KnowledgeBase) -> None:
    three.rows("DELETE FROM events WHERE seq < 3")
    late = call("GET", "/v1/events", query={"after_seq": 1})
    assert (late.status, late.code) == (410, "events_expired")
    assert (late.json["head_seq"], late.json["oldest_seq"]) == (3, 3)
    assert (call("GET", "/v1/events/1").status, call("GET", "/v1/events/3").status) == (410, 200)
    ahead = call("GET", "/v1/events", query={"after_seq": 4})
    assert (ahead.status, ahead.code, ahead.json["head_seq"]) == (409, "seq_ahead", 3)


def test_a_wait_ends_with_the_invocation_s_time(wired: KnowledgeBase, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    page = History.page

    def noted(self: History, *arguments: object) -> object:
        waits.append(arguments[-1])  # type: ignore[arg-type]
        return page(self, *arguments[:-1], 0)  # type: ignore[arg-type]

    monkeypatch.setattr(History, "page", noted)
    for seconds in (29, 10, 2):
        answer = handler(http_event("GET", "/v1/events", query={"wait": 20}), Context(seconds=seconds))
        assert answer["statusCode"] == 200
    assert waits == [20, 7, 0]


def test_a_wait_is_over_when_something_happened(wired: KnowledgeBase) -> None:
    history = wiring.history()
    wiring.history.cache_clear()
    woken = History(history.database, history.clock, lambda _: wired.collection() and None)
    assert woken.page(ADA, 0, None, 10, wait=20).items[0].type == "collection.created"


def test_a_ticket_opens_a_connection(wired: KnowledgeBase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPANDREL_WEBSOCKET_URL", "wss://example.com/v1")
    answer = call("POST", "/v1/realtime/tickets")
    validate("create_realtime_ticket", answer)
    assert (answer.status, answer.json["url"]) == (201, "wss://example.com/v1")
    client = Client(answer.json["ticket"])
    assert client.status == 200
    assert client.say(action="ping") == {"type": "pong"}
    assert json.dumps(answer.json["ticket"]) not in json.dumps(
        [row["row"] for row in wired.rows("SELECT t::text AS row FROM realtime_tickets t")]
    )
