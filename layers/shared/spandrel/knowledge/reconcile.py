"""Objects, documents and what is derived from them, held against each other, a stretch at a time.

Keys sort as the ids in them do, so one walk along both finds files without a document, documents without a file, and
documents whose chunks, vectors, codes or terms are not as many as they should be. The last are ingested again; the
others are told of, for what is right there only a person knows.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from spandrel.database import Database
from spandrel.knowledge.ingest.notifications import retry_message
from spandrel.knowledge.models import object_key
from spandrel.knowledge.ports import ObjectStore, Queue
from spandrel.knowledge.store import queries
from spandrel.observability import logger

PREFIX = "documents/"
NAME = "documents"
STRETCH = 100
"""Keys a page."""
PAGES = 10
REQUEUED = 20
"""Documents a run: what is wrong with very many is not mended by ingesting them all."""


@dataclass(slots=True)
class ReconcileReport:
    """What one run looked at and found. `whole`: it came to the end and begins anew."""

    objects: int = 0
    documents: int = 0
    orphan_objects: int = 0
    missing_objects: int = 0
    incomplete: int = 0
    requeued: int = 0
    whole: int = 0


@dataclass(frozen=True, slots=True)
class Reconcile:
    database: Database
    objects: ObjectStore
    queue: Queue
    stretch: int = STRETCH

    def run(self, seconds: float) -> ReconcileReport:
        """One stretch at least, more while there is time; the next run goes on where this one ends."""
        deadline, report = time.monotonic() + seconds, ReconcileReport()
        for _ in range(PAGES):
            if self._page(report) or time.monotonic() >= deadline:
                break
        return report

    def _page(self, report: ReconcileReport) -> bool:
        """Whether it was the last one."""
        after, place = self._place()
        keys = self.objects.keys(PREFIX, place, self.stretch)
        ids = {found: key for key in keys if (found := _id(key)) is not None}
        ends = len(keys) < self.stretch
        until = None if ends else max(ids, default=after)
        documents = self._documents(after, until)
        report.objects, report.documents = report.objects + len(keys), report.documents + len(documents)
        report.orphan_objects += self._orphans(ids, [key for key in keys if _id(key) is None], place)
        self._missing(report, documents, ids)
        self._mend(report, documents)
        reached = "" if ends else f"{until} {keys[-1]}"
        self.database.run(queries.move_reconciliation, {"name": NAME, "place": reached})
        report.whole += ends
        return ends

    def _place(self) -> tuple[UUID, str]:
        """The last document and the last key that were looked at."""
        rows = self.database.run(queries.reconciliation_place, {"name": NAME})
        if not rows or not rows[0]["place"]:
            return UUID(int=0), PREFIX
        id_, key = rows[0]["place"].split(" ", 1)
        return UUID(id_), key

    def _documents(self, after: UUID, until: UUID | None) -> list[dict[str, Any]]:
        """All of the stretch: there may be more documents than objects in it."""
        found: list[dict[str, Any]] = []
        while True:
            parameters = {"after": found[-1]["id"] if found else after, "until": until, "limit": self.stretch}
            rows = self.database.run(queries.documents_between, parameters)
            found += rows
            if len(rows) < self.stretch:
                return found

    def _orphans(self, ids: dict[UUID, str], strange: Sequence[str], place: str) -> int:
        known = {row["id"] for row in self.database.run(queries.known_documents, {"document_ids": list(ids)})}
        orphans = [key for id_, key in ids.items() if id_ not in known]
        if orphans:  # a deletion may have ended between the two looks
            there = set(self.objects.keys(PREFIX, place, self.stretch))
            orphans = [key for key in orphans if key in there]
        if orphans or strange:
            logger.warning("objects without a document", extra={"keys": [*orphans, *strange][:20]})
        return len(orphans) + len(strange)

    def _missing(self, report: ReconcileReport, documents: Sequence[dict[str, Any]], ids: dict[UUID, str]) -> None:
        missing = [str(row["id"]) for row in documents if row["id"] not in ids]
        if missing:
            logger.warning("documents without an object", extra={"document_ids": missing[:20]})
        report.missing_objects += len(missing)

    def _mend(self, report: ReconcileReport, documents: Sequence[dict[str, Any]]) -> None:
        kinds = ("chunks", "embeddings", "codes", "terms")
        broken = [row["id"] for row in documents if any(row[kind] != row["chunk_count"] for kind in kinds)]
        report.incomplete += len(broken)
        room = REQUEUED - report.requeued
        if not broken or room <= 0:
            return
        for row in self.database.run(queries.requeue_incomplete, {"document_ids": broken[:room]}):
            self.queue.send(retry_message(row["id"]))
            report.requeued += 1


def _id(key: str) -> UUID | None:
    try:
        found = UUID(key.removeprefix(PREFIX))
    except ValueError:
        return None
    return found if object_key(found) == key else None
