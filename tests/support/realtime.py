"""The WebSocket API as its clients see it, through the handler, and what stands around it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psycopg

from spandrel import wiring
from spandrel.database import Database
from tests.support.events import Context

SAMPLES = Path(__file__).parents[2] / "events"


def sample(name: str, connection_id: str) -> dict[str, Any]:
    """What API Gateway hands to the function, for this connection."""
    event: dict[str, Any] = json.loads((SAMPLES / f"realtime.{name}.json").read_text(encoding="utf-8"))
    event["requestContext"]["connectionId"] = connection_id
    return event


class FakeFarewell:
    """Connections that were closed, with their last word."""

    def __init__(self) -> None:
        self.closed: list[tuple[str, dict[str, Any]]] = []

    def close(self, connection_id: str, frame: bytes) -> None:
        self.closed.append((connection_id, json.loads(frame)))


class Client:
    """One connection. `status`: what its opening was answered with."""

    def __init__(self, ticket: str | None, connection_id: str = "UEXAMPLEliAAbPQ=") -> None:
        self.connection_id = connection_id
        event = sample("connect", connection_id)
        event["queryStringParameters"] = None if ticket is None else {"ticket": ticket}
        answer = self._handle(event)
        self.status: int = answer["statusCode"]
        self.problem = json.loads(answer["body"]) if "body" in answer else None

    @classmethod
    def of(cls, user: str, connection_id: str = "UEXAMPLEliAAbPQ=") -> Client:
        client = cls(wiring.tickets().issue(user).ticket, connection_id)
        assert client.status == 200
        return client

    def say(self, **message: Any) -> Any:
        return self.send(json.dumps(message))

    def send(self, text: str, **event: Any) -> Any:
        """The frame that comes back; None: nothing came, or the connection was closed."""
        answer = self._handle(sample("message", self.connection_id) | {"body": text} | event)
        assert answer["statusCode"] == 200
        return json.loads(answer["body"]) if "body" in answer else None

    def close(self) -> None:
        assert self._handle(sample("disconnect", self.connection_id)) == {"statusCode": 200}

    def _handle(self, event: dict[str, Any]) -> dict[str, Any]:
        from functions.realtime.handler import handler

        return handler(event, Context())


def listen(database: Database) -> list[str]:
    """Users that word of news is raised for on the database's connection, as it comes."""
    heard: list[str] = []
    database.run(b"SELECT 1")

    def notice(found: psycopg.errors.Diagnostic) -> None:
        assert found.message_primary == "news"
        heard.append(found.message_detail or "")

    connection = database._connection
    assert connection is not None
    connection.add_notice_handler(notice)
    return heard
