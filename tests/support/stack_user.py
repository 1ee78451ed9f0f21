"""One user of the deployed stack: everything by real HTTP, waiting for what happens in the background."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from typing import Any
from uuid import uuid4

import psycopg
from psycopg.rows import dict_row

DERIVED = ("chunks", "chunk_embeddings", "chunk_codes", "chunk_terms", "document_terms", "embedding_stash")
"""The tables that hold what was made of a document."""
SETTLED = ("ready", "failed")


def until(probe: Callable[[], Any], seconds: float = 30, what: str = "it") -> Any:
    """What `probe` returns once it is true. Fails when that takes longer than `seconds`."""
    deadline = time.monotonic() + seconds
    while not (found := probe()):
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds} s"
        time.sleep(0.05)
    return found


class StackUser:
    """`stack` is the fixture; without a `token` it is a user that nobody has seen before."""

    def __init__(self, stack: Any, token: str | None = None) -> None:
        self.stack = stack
        self.username = f"{uuid4().hex[:12]}@example.com"
        self.token = token or stack.token(self.username)

    def call(self, method: str, path: str, body: Any = None, *, status: int | None = None, **headers: str) -> Any:
        """The answer's JSON (None if it has no content), once its status is the expected one."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = self.stack.http(method, path, token=self.token, json_body=body, headers=sent)
        wanted = status or {"POST": 201, "DELETE": 204}.get(method, 200)
        assert answer.status == wanted, f"{method} {path}: {answer.status} {answer.text[:500]}"
        return answer.json() if answer.body else None

    def collection(self, **settings: Any) -> str:
        return self.call("POST", "/v1/collections", {"name": f"papers {uuid4().hex[:8]}"} | settings)["id"]

    def announce(self, collection: str, *names: str, **file: Any) -> list[dict[str, Any]]:
        files = [{"name": name} | file for name in names]
        return self.call("POST", "/v1/documents", {"collection_id": collection, "files": files})["items"]

    def send(self, form: dict[str, Any], content: bytes) -> None:
        answer = self.stack.post_form(form, content)
        assert answer.status in (200, 201, 204), answer.text

    def upload(self, collection: str, name: str, content: bytes, **file: Any) -> str:
        """Announced and sent; the document's id."""
        [item] = self.announce(collection, name, **file)
        self.send(item["upload"], content)
        return item["document"]["id"]

    def replace(self, document: str, content: bytes) -> dict[str, Any]:
        """A new version, once it is settled."""
        queued = self.document(document)["stages"]["queued_at"]
        self.send(self.call("POST", f"/v1/documents/{document}/upload", status=200), content)
        until(lambda: self.document(document)["stages"]["queued_at"] != queued, what="the new version's ingest")
        return self.settled(document)

    def document(self, document: str) -> dict[str, Any]:
        return self.call("GET", f"/v1/documents/{document}")

    def settled(self, document: str, seconds: float = 60, status: Collection[str] = SETTLED) -> dict[str, Any]:
        return until(
            lambda: (found := self.document(document))["status"] in status and found, seconds, f"{document}: {status}"
        )

    def ready(self, collection: str, name: str, content: bytes, **file: Any) -> dict[str, Any]:
        """Uploaded and searchable."""
        found = self.settled(self.upload(collection, name, content, **file))
        assert found["status"] == "ready", found
        return found

    def failed(self, collection: str, name: str, content: bytes, **file: Any) -> dict[str, Any]:
        found = self.settled(self.upload(collection, name, content, **file))
        assert found["status"] == "failed", found
        return found

    def search(self, query: str, **request: Any) -> dict[str, Any]:
        return self.call("POST", "/v1/search", {"query": query} | request, status=200)

    def hits(self, query: str, **request: Any) -> list[dict[str, Any]]:
        return self.search(query, **request)["hits"]


def rows(stack: Any, query: str, *parameters: object) -> list[dict[str, Any]]:
    """Straight from the database, past every policy."""
    with psycopg.connect(stack.database_url, autocommit=True, row_factory=dict_row) as connection:
        cursor = connection.execute(query, parameters or None)
        return cursor.fetchall() if cursor.description else []


def count(stack: Any, table: str, documents: Sequence[str]) -> int:
    [row] = rows(stack, f"SELECT count(*) AS n FROM {table} WHERE document_id = ANY (%s::uuid[])", list(documents))
    return row["n"]


def left_behind(stack: Any, document: str) -> dict[str, int]:
    """What still exists of a document: rows a table, and versions of its object."""
    found = {table: count(stack, table, [document]) for table in DERIVED}
    found["documents"] = rows(stack, "SELECT count(*) AS n FROM documents WHERE id = %s", document)[0]["n"]
    page = stack.client("s3").list_object_versions(Bucket=stack.bucket, Prefix=f"documents/{document}")
    found["objects"] = len(page.get("Versions", [])) + len(page.get("DeleteMarkers", []))
    return {name: number for name, number in found.items() if number}
