"""A nursery of ingest workers that a test may kill: `python -m tests.support.ingest_worker URL FOLDER`.

Everything is imported once; each line on standard input forks a worker, whose process id is answered. A worker goes
on for ever: it takes up what another left of a random document, or uploads one of two variants of it and ingests that.
"""

from __future__ import annotations

import os
import random
import sys
import time
from pathlib import Path
from uuid import UUID

from spandrel.database import Database
from spandrel.knowledge.ingest import embed as embed_stage
from spandrel.knowledge.ingest.chunk import chunk
from spandrel.knowledge.ingest.ingest import Ingest
from spandrel.knowledge.ingest.models import IngestTask
from spandrel.knowledge.ingest.parse import parse
from spandrel.knowledge.ingest.weigh import weigh_chunks
from spandrel.knowledge.models import S3Object, object_key
from tests.support.fakes import FakeEmbedder, FakeObjectStore, FakeQueue
from tests.support.knowledge import Clock
from tests.support.postgres import settings_for

LEASE_SECONDS = 0.5
VARIANTS = ("a", "b")


class FolderStore(FakeObjectStore):
    """Objects in files `<document>.<variant>`; the version id names the variant."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def read(self, key: str, version_id: str | None) -> bytes:
        return (self._folder / f"{key.removeprefix('documents/')}.{version_id}").read_bytes()


def ingest_for(url: str, folder: Path, delay: float = 0.0) -> Ingest:
    embedder = FakeEmbedder()
    embedder.during = lambda: time.sleep(delay)
    database = Database(settings_for(url), "spandrel_system")
    return Ingest(database, FolderStore(folder), embedder, FakeQueue(), lease_seconds=LEASE_SECONDS)


def task(document_id: UUID, variant: str) -> IngestTask:
    sequencer = f"{time.time_ns():032X}"
    return IngestTask(document_id, S3Object(object_key(document_id), variant, None, None, sequencer))


def work(url: str, folder: Path) -> None:
    embed_stage.BATCH_TEXTS, embed_stage.IN_FLIGHT = 4, 1  # so that there is something to stash, and to wait for
    ingest = ingest_for(url, folder, delay=0.004)
    documents = sorted({UUID(path.stem) for path in folder.iterdir()})
    while True:
        document = random.choice(documents)
        ingest.run(IngestTask(document, None), Clock().patience())
        ingest.run(task(document, random.choice(VARIANTS)), Clock().patience())


def main(url: str, folder: Path) -> None:
    weigh_chunks("english", chunk(parse(b"Warm.", name="a.md", content_type=None)))  # the vocabulary takes its time
    for _ in sys.stdin:
        if (child := os.fork()) == 0:
            work(url, folder)
        print(child, flush=True)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
