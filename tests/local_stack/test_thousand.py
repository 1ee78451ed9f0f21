"""A thousand files at once: every one is found once."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from threading import local

from tests.support.stack_user import DERIVED, StackUser, count, rows, until

FILES = 1000
SECONDS = 120


def test_a_thousand_small_files_uploaded_at_once_are_all_ready_once(stack, capsys):
    user = StackUser(stack)
    collection = user.collection()
    begin = time.monotonic()
    items = []
    for first in range(0, FILES, 100):
        items += user.announce(collection, *(f"note {n}.txt" for n in range(first, first + 100)))
    documents = [item["document"]["id"] for item in items]
    announced = time.monotonic()
    _put_all(stack, documents)
    sent = time.monotonic()

    def ready() -> int:
        query = "SELECT count(*) FILTER (WHERE status = 'ready') AS n FROM documents WHERE collection_id = %s"
        return rows(stack, query, collection)[0]["n"]

    until(lambda: ready() == FILES or time.sleep(0.5), SECONDS, "all documents ready")
    done = time.monotonic()
    with capsys.disabled():
        print(
            f"\n{FILES} files: announced in {announced - begin:.1f} s, sent in {sent - announced:.1f} s, "
            f"all ready {done - announced:.1f} s after the first was sent"
        )

    # One chunk a file, so one row a file in every table; what was stashed on the way is gone.
    assert {table: count(stack, table, documents) for table in DERIVED} == {
        table: 0 if table == "embedding_stash" else FILES for table in DERIVED
    }
    [listed] = [row for row in user.call("GET", "/v1/collections")["items"] if row["id"] == collection]
    assert (listed["document_count"], listed["chunk_count"]) == (FILES, FILES)
    versions = rows(stack, "SELECT DISTINCT version FROM documents WHERE collection_id = %s", collection)
    assert versions == [{"version": 1}]
    told = rows(
        stack,
        "SELECT count(*) AS n, count(DISTINCT subject) AS documents FROM events "
        "WHERE type = 'document.ready' AND subject = ANY (%s)",
        [f"documents/{document}" for document in documents],
    )
    assert told == [{"n": FILES, "documents": FILES}]
    for number in (0, FILES // 2, FILES - 1):
        best = user.hits(f"warehouse shelf number{number}", mode="text", top_k=1)
        assert [hit["document_id"] for hit in best] == [documents[number]]


def _put_all(stack, documents: list[str]) -> None:
    clients = local()

    def put(numbered: tuple[int, str]) -> None:
        if not hasattr(clients, "s3"):
            clients.s3 = stack.client("s3")
        number, document = numbered
        body = f"Shelf number{number} of the warehouse holds parts of kind {number % 7}.".encode()
        clients.s3.put_object(Bucket=stack.bucket, Key=f"documents/{document}", Body=body)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, enumerate(documents)))
