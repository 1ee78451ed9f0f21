"""What a schedule does for the knowledge base and may take long: purge what was deleted, index what has grown large."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from spandrel.database import Database
from spandrel.knowledge.ingest.models import PurgeTask
from spandrel.knowledge.ports import ObjectStore
from spandrel.knowledge.purge import Purge
from spandrel.knowledge.store import queries

GRAPH_FROM_CHUNKS = 20_000
"""Smaller collections read their sign codes whole in less time than a graph takes."""
INVERTED_FROM_CHUNKS = 2_000
GRAPH_BATCH = 200
INVERTED_BATCH = 1000
SWEEP_BATCH = 50
"""Removed documents."""


@dataclass(frozen=True, slots=True)
class UpkeepReport:
    """What one run did."""

    purged: int = 0
    vectors_indexed: int = 0
    chunks_indexed: int = 0
    documents_swept: int = 0


@dataclass(frozen=True, slots=True)
class Upkeep:
    database: Database
    objects: ObjectStore
    graph_from: int = GRAPH_FROM_CHUNKS
    inverted_from: int = INVERTED_FROM_CHUNKS

    def run(self, seconds: float) -> UpkeepReport:
        """Safe beside itself: every row it touches is claimed. Indexing stops after `seconds`; the next run goes on."""
        deadline = time.monotonic() + seconds
        purged = self._purge()
        with self.database.transaction() as tx:
            tx.execute(queries.forget_idempotency_keys)
            tx.execute(queries.count_graph)

        def time_left() -> bool:
            return time.monotonic() < deadline

        vectors, chunks = self._index(time_left)
        return UpkeepReport(purged, vectors, chunks, self._sweep(time_left))

    def _purge(self) -> int:
        purge = Purge(self.database, self.objects)
        return sum(purge.run(PurgeTask(row["id"])) for row in self.database.run(queries.deleted_collections))

    def _index(self, time_left: Callable[[], bool]) -> tuple[int, int]:
        vectors = chunks = 0
        sizes = {"graph_from": self.graph_from, "inverted_from": self.inverted_from}
        for row in self.database.run(queries.growing_collections, sizes):
            collection = {"collection_id": row["id"]}
            while (
                row["inverted"]
                and time_left()
                and (moved := self._move(queries.move_to_inverted, collection, INVERTED_BATCH))
            ):
                chunks += moved
            if row["graph"] and time_left():
                self.database.run(queries.open_graph, collection)
            while (
                row["graph"] and time_left() and (moved := self._move(queries.move_to_graph, collection, GRAPH_BATCH))
            ):
                vectors += moved
        return vectors, chunks

    def _sweep(self, time_left: Callable[[], bool]) -> int:
        swept = 0
        for row in self.database.run(queries.swept_collections):
            collection = {"collection_id": row["id"]}
            while time_left() and (done := self._move(queries.sweep_inverted, collection, SWEEP_BATCH)):
                swept += done
        return swept

    def _move(self, query: bytes, collection: dict[str, object], limit: int) -> int:
        return int(self.database.run(query, collection | {"limit": limit})[0]["moved"])
