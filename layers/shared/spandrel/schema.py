"""The schema as a CloudFormation custom resource: every deployment migrates, none ever drops data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.request import Request, urlopen

import msgspec

from spandrel import migrations
from spandrel.observability import logger
from spandrel.owners import among_owners

TIMEOUT_SECONDS = 10


@dataclass(frozen=True, slots=True)
class SchemaResource:
    """`conninfo` gives the administrator's connection, `prepare` what follows the migrations (the embedding space)."""

    conninfo: Callable[[], str]
    prepare: Callable[[str], None]

    def handle(self, event: dict[str, Any], log_stream: str) -> None:
        """Answers CloudFormation whatever happens: an unanswered resource blocks its stack for an hour."""
        answer = {
            "PhysicalResourceId": "spandrel-schema",
            "StackId": event["StackId"],
            "RequestId": event["RequestId"],
            "LogicalResourceId": event["LogicalResourceId"],
        }
        try:
            if event["RequestType"] != "Delete":
                answer |= {"Data": {"Applied": ", ".join(self.apply())}}
            answer["Status"] = "SUCCESS"
        except Exception as error:  # noqa: BLE001 - reported to the deployment, which rolls back
            logger.exception("migration failed")
            answer |= {
                "Status": "FAILED",
                "Reason": f"{type(error).__name__}: {error} (log stream {log_stream})"[:1000],
            }
        _reply(event["ResponseURL"], answer)

    def apply(self) -> list[str]:
        """Migrates and prepares; the names of what was applied."""
        conninfo = self.conninfo()
        try:
            applied = [each.name for each in migrations.migrate(conninfo)]
        except migrations.NewerSchemaError:
            # A deployment that is rolled back comes here with the code from before it, and must get through.
            if not migrations.serves(conninfo):
                raise
            applied = []
        self.prepare(conninfo)
        logger.info("schema ready", extra={"applied": applied})
        return applied


def _reply(url: str, answer: dict[str, Any]) -> None:
    if not url.startswith(("https://", "http://")):
        raise ValueError("the response URL is not HTTP")
    body = msgspec.json.encode(answer)
    request = Request(url, data=body, method="PUT", headers={"content-type": ""})  # noqa: S310 - checked above
    with urlopen(request, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310
        response.read()


def ensure_embedding_space(conninfo: str, model: str, dimensions: int) -> None:
    """Makes the deployment's embedding model known, its HNSW index included."""
    import psycopg

    with psycopg.connect(conninfo) as connection, among_owners(connection):
        connection.execute("SELECT ensure_embedding_space(%s, %s::integer)", [model, dimensions])
