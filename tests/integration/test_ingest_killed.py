"""Workers that are killed with -9 at random points: no chunk is lost, none doubled, every count is right."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from spandrel.knowledge.ingest.ingest import Outcome
from spandrel.knowledge.ingest.models import IngestTask
from tests.support.ingest_worker import LEASE_SECONDS, ingest_for, task
from tests.support.knowledge import ADA, Clock, KnowledgeBase
from tests.support.postgres import TEMPLATE, Cluster

KILLS = 50
DOCUMENTS = 6
CHUNKS = 14
HALF_VISIBLE = """
    SELECT d.id FROM documents d LEFT JOIN chunks c ON c.document_id = d.id
    GROUP BY d.id HAVING count(c.ordinal) <> d.chunk_count"""


def content(number: int, variant: str) -> str:
    """Two variants of a document share most of their sections, as a new version does."""
    sections = []
    for n in range(CHUNKS - (variant == "b") * 3):
        marker = variant if n % 4 == 0 else "both"
        sections.append(f"# Section {n}\n\nDocument {number} speaks of topic{n} in {marker}.")
    return "\n\n".join(sections)


@pytest.fixture
def nursery(database_url: str, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "tests.support.ingest_worker", database_url, str(tmp_path / "killed")]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    )
    yield process
    process.communicate()
    assert process.returncode == 0


def kill_one_at_a_random_point(nursery: subprocess.Popen[str]) -> None:
    assert nursery.stdin is not None
    assert nursery.stdout is not None
    nursery.stdin.write("go\n")
    nursery.stdin.flush()
    worker = int(nursery.stdout.readline())
    time.sleep(random.uniform(0.02, 0.3))
    os.kill(worker, signal.SIGKILL)


def snapshot(kb: KnowledgeBase) -> dict[str, Any]:
    """Everything that an ingest leaves, told by document name and not by what differs between two runs."""
    named = "JOIN documents d ON d.id = t.document_id"
    return {
        "documents": kb.rows("SELECT name, status, chunk_count, token_count, attempt FROM documents ORDER BY name"),
        "chunks": kb.rows(
            f"SELECT d.name, ordinal, text, start_offset, end_offset, heading_path, t.token_count, content_hash "
            f"FROM chunks t {named} ORDER BY 1, 2"
        ),
        "embeddings": kb.rows(f"SELECT d.name, ordinal, embedding::text FROM chunk_embeddings t {named} ORDER BY 1, 2"),
        "codes": kb.rows(f"SELECT d.name, ordinal, code::text, in_graph FROM chunk_codes t {named} ORDER BY 1, 2"),
        "terms": kb.rows(f"SELECT d.name, ordinal, terms::text FROM chunk_terms t {named} ORDER BY 1, 2"),
        "document_terms": kb.rows(f"SELECT d.name, terms, counts FROM document_terms t {named} ORDER BY 1"),
        "collections": kb.rows("SELECT name, document_count, chunk_count FROM collections"),
        "stash": kb.rows("SELECT * FROM embedding_stash"),
    }


def ingest_all(kb: KnowledgeBase, folder: Path, documents: list[UUID], variant: str) -> None:
    ingest = ingest_for(kb.url, folder)
    for document in documents:
        assert ingest.run(task(document, variant), Clock().patience()) is Outcome.READY
    ingest.database.close()


def announced(kb: KnowledgeBase, folder: Path) -> list[UUID]:
    folder.mkdir(exist_ok=True)
    collection = kb.collection()
    documents = [kb.announce(collection, name=f"{number}.md") for number in range(DOCUMENTS)]
    for number, document in enumerate(documents):
        for variant in ("a", "b"):
            (folder / f"{document}.{variant}").write_text(content(number, variant))
    return documents


def test_no_chunk_is_lost_or_doubled_by_workers_killed_at_random_points(
    kb: KnowledgeBase, cluster: Cluster, tmp_path: Path, nursery: subprocess.Popen[str]
) -> None:
    folder = tmp_path / "killed"
    documents = announced(kb, folder)
    interrupted = set()
    for _ in range(KILLS):
        kill_one_at_a_random_point(nursery)
        interrupted |= {row["status"] for row in kb.rows("SELECT status FROM documents WHERE lease_until > now()")}
        assert kb.rows(HALF_VISIBLE) == []
    assert "embedding" in interrupted
    assert kb.one("SELECT max(version) FROM documents") > 1

    # What was left is taken up again by its id alone, as upkeep does it. The worker lost is nobody's fault here.
    time.sleep(LEASE_SECONDS)
    kb.rows("UPDATE documents SET attempt = 0")
    finisher = ingest_for(kb.url, folder)
    for document in kb.rows(
        "SELECT id FROM documents WHERE status NOT IN ('ready', 'failed') AND sequencer IS NOT NULL"
    ):
        assert finisher.run(IngestTask(document["id"], None), Clock().patience()) is Outcome.READY
    finisher.database.close()
    assert kb.one("SELECT sum(chunk_count) FROM documents") == kb.one("SELECT chunk_count FROM collections")
    ingest_all(kb, folder, documents, "b")

    with cluster.database(TEMPLATE) as name:
        clean = KnowledgeBase(cluster.url(name))
        ingest_all(clean, tmp_path / "clean", announced(clean, tmp_path / "clean"), "b")
        expected = snapshot(clean)
        clean.close()
    assert snapshot(kb) == expected
    assert expected["collections"] == [
        {"name": "papers", "document_count": DOCUMENTS, "chunk_count": DOCUMENTS * (CHUNKS - 3)}
    ]
    feed = [row["seq"] for row in kb.rows("SELECT seq FROM events WHERE user_id = %s ORDER BY seq", ADA)]
    assert feed == list(range(1, len(feed) + 1))
