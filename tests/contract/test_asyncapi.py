"""docs/asyncapi.yaml is what the code says, and what the code says is what it sends. After a change: `make docs`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import jsonschema_rs
import msgspec
import pytest
import yaml

from functions.realtime.asyncapi import ANSWERS, SENT, build_asyncapi, render
from spandrel import errors
from spandrel.errors import EventsExpiredError, RateLimitedError
from spandrel.events import messages
from spandrel.events.catalogue import CATALOGUE
from spandrel.events.frames import encode, error_frame, event_frame, live_frame
from spandrel.events.messages import Accepted, Delta, Pong, Subscribed, TextSoFar
from spandrel.events.models import StoredEvent
from spandrel.events.requests import ACTIONS, read

DOCS = Path(__file__).parents[2] / "docs"
DOCUMENT = build_asyncapi()


def test_the_published_contract_is_the_code_s() -> None:
    assert (DOCS / "asyncapi.yaml").read_text(encoding="utf-8") == render(), "run `make docs`"
    assert yaml.safe_load(render()) == json.loads(json.dumps(DOCUMENT))


# -- its structure


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from references(each)


def resolve(reference: str) -> Any:
    found: Any = DOCUMENT
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


def test_it_is_asyncapi_3() -> None:
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert DOCUMENT.keys() == {
        "asyncapi", "info", "defaultContentType", "servers", "channels", "operations", "components",
    }  # fmt: skip
    for server in DOCUMENT["servers"].values():
        assert {"host", "protocol"} <= server.keys()
        assert set(server["variables"]) == {part.split("}")[0] for part in server["host"].split("{")[1:]}


def test_every_reference_leads_somewhere() -> None:
    found = set(references(DOCUMENT))
    assert len(found) > 100
    for reference in found:
        assert resolve(reference), reference


def test_nothing_stands_there_unused() -> None:
    for kind in ("messages", "schemas"):
        used = {each.rsplit("/", 1)[1] for each in references(DOCUMENT) if f"/components/{kind}/" in each}
        assert DOCUMENT["components"][kind].keys() - used == set()


def test_every_operation_names_messages_of_its_channel() -> None:
    on_channel = set(DOCUMENT["channels"]["feed"]["messages"])
    told: set[str] = set()
    for name, operation in DOCUMENT["operations"].items():
        assert operation["action"] in ("send", "receive"), name
        assert resolve(operation["channel"]["$ref"]) is DOCUMENT["channels"]["feed"]
        both = [*operation["messages"], *operation.get("reply", {}).get("messages", [])]
        for each in both:
            assert each["$ref"].startswith("#/channels/feed/messages/"), name
        told |= {each["$ref"].rsplit("/", 1)[1] for each in both}
    assert told == on_channel


def test_every_message_has_a_schema_and_says_what_it_is() -> None:
    for name, message in DOCUMENT["components"]["messages"].items():
        assert message["name"] == name
        assert message["summary"].endswith(".")
        schema = resolve(message["payload"]["$ref"])
        [tag] = schema["properties"]["action" if name in ACTIONS else "type"]["enum"]
        assert tag == name


def test_every_event_type_is_told() -> None:
    listed = DOCUMENT["components"]["schemas"]["Event"]["properties"]["event"]["oneOf"]
    assert [each["$ref"].rsplit("/", 1)[1] for each in listed] == [each.name for each in CATALOGUE]
    assert "Reserved" in DOCUMENT["components"]["schemas"]["workflow.run_started"]["description"]


# -- what it says is what is sent


def validate(message: str, frame: bytes) -> None:
    payload = DOCUMENT["components"]["messages"][message]["payload"]
    schema = payload | {"components": DOCUMENT["components"]}
    jsonschema_rs.Draft202012Validator(schema, validate_formats=True).validate(json.loads(frame))


def refused(message: str, frame: bytes) -> None:
    with pytest.raises(jsonschema_rs.ValidationError):
        validate(message, frame)


def stored(type_: str, data: dict[str, Any]) -> StoredEvent:
    return StoredEvent(user_id="ada", seq=1, type=type_, subject="documents/1", data=data, created_at=datetime.now(UTC))


def test_events_are_as_the_document_says() -> None:
    validate("event", event_frame(stored("document.ready", {"version": 1, "chunk_count": 2})))
    validate("event", event_frame(stored("document.ready", {"version": 1, "chunk_count": 2, "more": "later"})))
    validate("event", event_frame(stored("document.ready", {"version": 1, "large": "x" * 40_000})))
    refused("event", event_frame(stored("document.ready", {"version": "one", "chunk_count": 2})))
    refused("event", event_frame(stored("document.lost", {})))
    refused("live", event_frame(stored("document.deleted", {})))


def test_the_other_frames_are_as_the_document_says() -> None:
    turn = {"turn_id": uuid4(), "attempt": 1, "index": 0, "text": "Good d"}
    validate("live", live_frame(3))
    validate("delta", encode(Delta(**turn)))
    validate("text", encode(TextSoFar(**turn)))
    validate("pong", encode(Pong()))
    validate("pong", encode(Pong(request_id="r")))
    validate("subscribed", encode(Subscribed(after_seq=1, head_seq=2)))
    validate("accepted", encode(Accepted(turn_id=uuid4(), session_id=uuid4(), status="waiting")))
    validate("error", error_frame(EventsExpiredError(head_seq=2, oldest_seq=2), "r"))
    validate("error", error_frame(RateLimitedError(retry_after=0.2)))
    refused("error", live_frame(3))


ASKED = {
    "subscribe": [{}, {"after_seq": 0}, {"after_seq": None, "request_id": "r"}],
    "send_message": [{"session_id": str(uuid4()), "client_message_id": "1", "text": "Hello!\n"}],
    "cancel_turn": [{"turn_id": str(uuid4())}],
    "ping": [{}],
}


def test_what_the_document_takes_is_taken_and_what_it_refuses_is_refused() -> None:
    assert ASKED.keys() == ACTIONS.keys() == ANSWERS.keys()
    for name, bodies in ASKED.items():
        for body in bodies:
            text = json.dumps({"action": name} | body).encode()
            validate(name, text)
            assert read(text).action()
            extra = json.dumps({"action": name, "more": 1} | body).encode()
            refused(name, extra)
            with pytest.raises(errors.InvalidRequestError):
                read(extra).action()


def test_every_struct_of_the_contract_is_in_it() -> None:
    kinds = {each for each in vars(messages).values() if isinstance(each, type) and issubclass(each, msgspec.Struct)}
    tagged = {each for each in kinds if each.__struct_config__.tag is not None} - {messages.Answer, messages.Action}
    assert tagged == {*ACTIONS.values(), *ANSWERS.values(), *SENT.values()}


def test_the_guide_names_every_code_and_every_message() -> None:
    guide = (DOCS / "realtime.md").read_text(encoding="utf-8")
    for name in DOCUMENT["components"]["messages"]:
        assert f"`{name}`" in guide, name
    from spandrel.errors import realtime

    codes = {
        each.code for each in vars(realtime).values() if isinstance(each, type) and each.__module__ == realtime.__name__
    }
    for code in codes | {
        "invalid_json",
        "invalid_request",
        "not_found",
        "illegal_move",
        "conflict",
        "database_unavailable",
    }:
        assert f"`{code}`" in guide, code
