"""The AsyncAPI 3.0 document of the WebSocket API, made from the messages and the catalogue of events.

https://www.asyncapi.com/docs/reference/specification/v3.0.0
"""

from __future__ import annotations

from typing import Any

import msgspec

from spandrel import __version__
from spandrel.events import messages
from spandrel.events.catalogue import CATALOGUE, EventType
from spandrel.events.frames import MAX_FRAME_BYTES
from spandrel.events.requests import ACTIONS, MAX_MESSAGE_BYTES

_SCHEMA = "#/components/schemas/{name}"
_DESCRIPTION = f"""\
The live feed of everything that happens, and messages to sessions. docs/realtime.md tells how to use it.

A frame that we send takes {MAX_FRAME_BYTES:,} bytes at most: an event that is larger comes with `dataref`, which
is what to GET from the HTTP API, in the place of its `data`. A message of yours may take {MAX_MESSAGE_BYTES:,} bytes,
in frames of 32,768. The gateway closes a connection after ten silent minutes, and after two hours.
"""
ANSWERS: dict[str, type[messages.Answer]] = {
    "subscribe": messages.Subscribed,
    "send_message": messages.Accepted,
    "cancel_turn": messages.Accepted,
    "ping": messages.Pong,
}
SENT: dict[str, type[msgspec.Struct]] = {
    "event": messages.Event,
    "live": messages.Live,
    "delta": messages.Delta,
    "text": messages.TextSoFar,
    "error": messages.Error,
}


def build_asyncapi() -> dict[str, Any]:
    received: dict[str, type[msgspec.Struct]] = {**ACTIONS}
    answers = {_tag(kind): kind for kind in ANSWERS.values()}
    everything = received | answers | SENT
    names = {name: {"$ref": f"#/components/messages/{name}"} for name in everything}
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Spandrel live feed", "version": __version__, "description": _DESCRIPTION},
        "defaultContentType": "application/json",
        "servers": {
            "aws": {
                "host": "{api_id}.execute-api.{region}.amazonaws.com",
                "pathname": "/v1",
                "protocol": "wss",
                "variables": {"api_id": {"description": "See the stack's output WebSocketUrl."}, "region": {}},
            }
        },
        "channels": {"feed": {"address": "/", "messages": names, "bindings": {"ws": _TICKET}}},
        "operations": _operations(),
        "components": {
            "messages": {name: _message(name, kind) for name, kind in everything.items()},
            "schemas": _schemas(everything),
        },
    }


_TICKET = {
    "method": "GET",
    "query": {
        "type": "object",
        "properties": {"ticket": {"type": "string", "description": "Of `POST /v1/realtime/tickets`."}},
        "required": ["ticket"],
    },
    "bindingVersion": "0.1.0",
}
_CHANNEL = {"$ref": "#/channels/feed"}


def _operations() -> dict[str, Any]:
    """As the server sees them: it receives actions and replies, and sends what happens."""

    def of(*names: str) -> list[dict[str, str]]:
        return [{"$ref": f"#/channels/feed/messages/{name}"} for name in names]

    actions = {
        name: {
            "action": "receive",
            "channel": _CHANNEL,
            "messages": of(name),
            "reply": {"channel": _CHANNEL, "messages": of(_tag(ANSWERS[name]), "error")},
        }
        for name in ACTIONS
    }
    sent = {f"send_{name}": {"action": "send", "channel": _CHANNEL, "messages": of(name)} for name in SENT}
    return actions | sent


def _message(name: str, kind: type[msgspec.Struct]) -> dict[str, Any]:
    return {
        "name": name,
        "title": name.replace("_", " ").capitalize(),
        "summary": _told(kind.__doc__).split(". ")[0].rstrip(".") + ".",
        "contentType": "application/json",
        "payload": {"$ref": _SCHEMA.format(name=kind.__name__)},
    }


def _schemas(everything: dict[str, type[msgspec.Struct]]) -> dict[str, Any]:
    kinds = [*everything.values(), *(each.data for each in CATALOGUE)]
    _, schemas = msgspec.json.schema_components(kinds, ref_template=_SCHEMA)
    for schema in schemas.values():
        schema["description"] = _told(schema.get("description"))
    schemas |= {each.name: _event(each) for each in CATALOGUE}
    schemas["Event"]["properties"]["event"] = {
        "oneOf": [{"$ref": _SCHEMA.format(name=each.name)} for each in CATALOGUE]
    }
    return schemas


def _event(each: EventType) -> dict[str, Any]:
    """The event of a type: `data`, or `dataref` in its place."""
    return {
        "title": each.name,
        "description": f"{each.sentence} Reserved: nothing sends it yet." if each.reserved else each.sentence,
        "allOf": [{"$ref": _SCHEMA.format(name="CloudEvent")}],
        "properties": {
            "type": {"const": each.name},
            "subject": {"type": "string", "description": f"`{each.subject}`"},
            "data": {"$ref": _SCHEMA.format(name=each.data.__name__)},
        },
        "oneOf": [{"required": ["data"]}, {"required": ["dataref"]}],
    }


def _tag(kind: type[msgspec.Struct]) -> str:
    return str(kind.__struct_config__.tag)


def _told(docstring: str | None) -> str:
    return " ".join((docstring or "").split())


def render() -> str:
    import yaml

    class Plain(yaml.SafeDumper):
        """Without anchors, and with texts of several lines as such."""

        def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - as the library asks
            return True

    def string(dumper: Any, text: str) -> Any:
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)

    Plain.add_representer(str, string)
    rendered: str = yaml.dump(build_asyncapi(), Dumper=Plain, sort_keys=False, allow_unicode=True, width=120)
    return rendered


def main() -> None:
    """Writes the document to the file that is named: `python -m functions.realtime.asyncapi docs/asyncapi.yaml`."""
    import sys
    from pathlib import Path

    Path(sys.argv[1]).write_text(render(), encoding="utf-8")


if __name__ == "__main__":
    main()
