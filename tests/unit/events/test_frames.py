"""Frames: CloudEvents that fit, whatever they hold."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given, strategies as st

from spandrel.errors import EventsExpiredError, InvalidRequestError, NotFoundError
from spandrel.events.frames import MAX_DETAIL, MAX_FRAME_BYTES, error_frame, event_frame, live_frame
from spandrel.events.models import StoredEvent

TOKYO = timezone(timedelta(hours=9))


def event(data: Any, seq: int = 7, user: str = "ada") -> StoredEvent:
    created_at = datetime(2026, 11, 24, 19, 0, 0, 5, TOKYO)
    return StoredEvent(
        user_id=user, seq=seq, type="document.ready", subject="documents/1", data=data, created_at=created_at
    )


def test_an_event_is_a_cloud_event_with_its_seq() -> None:
    assert json.loads(event_frame(event({"version": 1}))) == {
        "type": "event",
        "event": {
            "specversion": "1.0",
            "id": "fdee430d40bd57de/7",
            "source": "/spandrel/feed",
            "type": "document.ready",
            "subject": "documents/1",
            "time": "2026-11-24T10:00:00.000005Z",
            "seq": 7,
            "datacontenttype": "application/json",
            "data": {"version": 1},
        },
    }


def test_ids_tell_users_apart_without_naming_them() -> None:
    ids = {json.loads(event_frame(event({}, user=user)))["event"]["id"] for user in ("ada", "bob", "ada")}
    assert len(ids) == 2
    assert not [each for each in ids if "ada" in each]


def test_data_may_be_json_already() -> None:
    assert event_frame(event(msgspec.Raw(b'{"a":1}'))) == event_frame(event({"a": 1}))


def test_an_event_of_the_limit_is_sent_and_one_byte_more_is_a_reference() -> None:
    room = MAX_FRAME_BYTES - len(event_frame(event({"a": ""})))
    whole = event_frame(event({"a": "x" * room}))
    assert len(whole) == MAX_FRAME_BYTES
    assert json.loads(whole)["event"]["data"] == {"a": "x" * room}
    sent = json.loads(event_frame(event({"a": "x" * (room + 1)})))["event"]
    assert "data" not in sent
    assert (sent["dataref"], sent["seq"], sent["type"]) == ("/v1/events/7", 7, "document.ready")


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
)


@given(st.dictionaries(TEXT, JSON, max_size=5), st.integers(1, 400), st.integers(1, 2**53 - 1))
def test_every_frame_fits_and_says_the_same(data: dict[str, Any], times: int, seq: int) -> None:
    repeated = {"all": [data] * times}
    frame = event_frame(event(repeated, seq))
    assert len(frame) <= MAX_FRAME_BYTES
    told = json.loads(frame.decode())["event"]
    assert told["seq"] == seq
    assert ("data" in told) != ("dataref" in told)
    if "data" in told:
        assert told["data"] == repeated
    else:
        assert len(msgspec.json.encode(repeated)) > MAX_FRAME_BYTES - 500


@pytest.mark.parametrize("char", ["x", "é", "€", "🐳", '"', "\n", "\x01", "\\"])
def test_bytes_are_counted_not_characters(char: str) -> None:
    for length in range(0, 40_000, 997):
        assert len(event_frame(event({"text": char * length}))) <= MAX_FRAME_BYTES


def test_the_marker_says_how_far_replay_came() -> None:
    assert live_frame(12) == b'{"type":"live","seq":12}'


def test_an_error_says_what_a_problem_says() -> None:
    assert json.loads(error_frame(NotFoundError())) == {
        "type": "error", "code": "not_found", "detail": "There is no such resource, or it is not yours.",
    }  # fmt: skip
    told = json.loads(error_frame(EventsExpiredError(head_seq=9, oldest_seq=4), "r"))
    assert next(iter(told)) == "type"
    assert (told["code"], told["request_id"], told["head_seq"], told["oldest_seq"]) == ("events_expired", "r", 9, 4)


def test_an_error_stays_short_and_nothing_it_names_takes_its_place() -> None:
    frame = error_frame(InvalidRequestError("🐳" * 20_000, code="none", type="event"), "r" * 128)
    assert len(frame) < MAX_DETAIL * 4 + 500
    told = json.loads(frame)
    assert (told["type"], told["code"], told["detail"][-1]) == ("error", "invalid_request", "…")


def test_a_time_is_told_in_utc() -> None:
    row = event({})
    told = json.loads(event_frame(row))["event"]["time"]
    assert datetime.fromisoformat(told) == row.created_at.astimezone(UTC)
