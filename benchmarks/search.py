"""Search at 100k chunks x 1536 beside langchain-postgres, for tenants of 100 to 100,000 chunks; growth to 1M x 384.

    python -m benchmarks.search [--million]

The whole handler is timed, from API Gateway event to response, warm; only the embedding of the query is left out (a
canned vector stands in for it, on both sides). Recall is against an exact scan. The peer searches the largest tenant's
rows, with an HNSW index over the same vectors.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import numpy as np
import psycopg

from benchmarks import server
from benchmarks.corpus import Corpus, Tenant, build_graph, half_vectors, load
from functions.vector_search import handler as function
from spandrel import wiring
from spandrel.knowledge.search.search import Search
from spandrel.knowledge.upkeep import GRAPH_FROM_CHUNKS, INVERTED_FROM_CHUNKS
from spandrel.vectors import HalfVector

QUERIES = 100
EXACT_QUERIES = 40
CONTEXT = SimpleNamespace(
    function_name="vector_search", memory_limit_in_mb=1769, invoked_function_arn="arn", aws_request_id="bench"
)


class CannedEmbedder:
    """Gives the vector that was put there."""

    model = "bench"

    def __init__(self, dimensions: int) -> None:
        self.dimensions = dimensions
        self.vector = HalfVector()

    def embed(self, texts: list[str]) -> list[HalfVector]:
        return [self.vector]


def event(user_id: str, body: dict[str, Any]) -> dict[str, Any]:
    claims = {"jwt": {"claims": {"sub": user_id}}}
    return {"requestContext": {"authorizer": claims, "requestId": "bench"}, "body": json.dumps(body)}


def build(url: str, corpus: Corpus, sizes: list[int]) -> dict[int, UUID]:
    collections = {}
    for size in sizes:
        collections[size] = load(url, corpus, Tenant(f"tenant-{size}", size), size >= INVERTED_FROM_CHUNKS)
        print(f"  loaded a tenant of {size:,}", flush=True)
    large = [collections[size] for size in sizes if size >= GRAPH_FROM_CHUNKS]
    print(f"  HNSW index built in {build_graph(url, large):.0f} s", flush=True)
    return collections


def exact(url: str, collection_id: UUID, vectors: list[HalfVector]) -> list[set[tuple[UUID, int]]]:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET enable_indexscan = off")
        return [
            set(
                connection.execute(
                    "SELECT document_id, ordinal FROM chunk_embeddings WHERE collection_id = %s"
                    " ORDER BY embedding <=> %s::halfvec LIMIT 10",
                    [collection_id, str(vector.to_list())],
                ).fetchall()
            )
            for vector in vectors
        ]


def milliseconds(run: Callable[[int], object], count: int) -> list[float]:
    for number in range(count):
        run(number)
    times = []
    for number in range(count):
        begin = time.perf_counter()
        run(number)
        times.append((time.perf_counter() - begin) * 1000)
    return sorted(times)


def ours(url: str, corpus: Corpus, sizes: dict[int, UUID]) -> list[HalfVector]:
    embedder = CannedEmbedder(corpus.dimensions)
    search = Search(server.as_role(url, "spandrel_app"), lambda: embedder)
    wiring.search = lambda: search  # type: ignore[assignment]
    function.milliseconds = lambda *_: None  # type: ignore[assignment]
    vectors = half_vectors(corpus.vectors(QUERIES))
    texts = [corpus.query_text() for _ in range(QUERIES)]
    for size, collection_id in sizes.items():
        truth = exact(url, collection_id, vectors[:EXACT_QUERIES])
        row = []
        for mode in ("vector", "text", "hybrid"):
            answers: dict[int, dict[str, Any]] = {}

            def run(number: int, mode: str = mode, size: int = size, answers: dict[int, Any] = answers) -> None:
                embedder.vector = vectors[number]
                body = {"query": texts[number], "mode": mode, "top_k": 10}
                answers[number] = function.handler(event(f"tenant-{size}", body), CONTEXT)

            times = milliseconds(run, QUERIES)
            cell = f"{mode} p50 {statistics.median(times):5.2f} p95 {times[int(QUERIES * 0.95)]:5.2f}"
            if mode == "vector":
                found = [json.loads(answers[number]["body"])["hits"] for number in range(EXACT_QUERIES)]
                hits = [{(UUID(hit["document_id"]), hit["ordinal"]) for hit in each} for each in found]
                recall = np.mean([len(a & b) / len(b) for a, b in zip(hits, truth, strict=True)])
                cell += f" recall@10 {recall:.3f}"
            row.append(cell)
        print(f"  tenant of {size:>9,}: " + " | ".join(row), flush=True)
    return vectors


def peer(url: str, corpus: Corpus, collection_id: UUID, vectors: list[HalfVector]) -> None:
    """langchain-postgres on a table of its own with the same vectors and texts, HNSW-indexed as its guide says."""
    from langchain_core.embeddings import Embeddings
    from langchain_postgres import PGEngine, PGVectorStore
    from langchain_postgres.v2.indexes import HNSWIndex

    class Canned(Embeddings):
        vector: list[float] = []  # noqa: RUF012

        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            raise AssertionError("nothing is added")

        def embed_query(self, text: str) -> list[float]:
            return self.vector

    engine = PGEngine.from_connection_string(url.replace("postgresql://", "postgresql+psycopg://"))
    engine.init_vectorstore_table("peer", vector_size=corpus.dimensions)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO peer (langchain_id, content, embedding) SELECT uuidv7(), text, embedding::vector"
            " FROM chunks JOIN chunk_embeddings USING (document_id, ordinal) WHERE chunks.collection_id = %s",
            [collection_id],
        )
    embeddings = Canned()
    store = PGVectorStore.create_sync(engine, embeddings, "peer")
    store.apply_vector_index(HNSWIndex())
    floats = [vector.to_list() for vector in vectors]

    def run(number: int) -> None:
        embeddings.vector = floats[number]
        store.similarity_search("", k=10)

    times = milliseconds(run, QUERIES)
    print(f"  langchain-postgres similarity_search: p50 {statistics.median(times):.2f} p95 {times[-5]:.2f}", flush=True)


def growth(address: str, corpus: Corpus, sizes: list[int], with_peer: bool) -> None:
    dimensions = corpus.dimensions
    print(f"{sum(sizes):,} chunks x {dimensions}, milliseconds a request", flush=True)
    url = server.fresh_database(address, f"search_{dimensions}", "bench", dimensions)
    collections = build(url, corpus, sizes)
    vectors = ours(url, corpus, collections)
    if with_peer:
        peer(url, corpus, collections[max(sizes)], vectors)


def main() -> None:
    if "--million" in sys.argv:  # alone: it takes half an hour
        with server.postgres() as address:
            growth(address, Corpus(384, words=(30, 60)), [10_000, 100_000, 1_000_000], with_peer=False)
        return
    with server.postgres() as address:
        growth(address, Corpus(1536), [100, 1_000, 10_000, 100_000], with_peer=True)


if __name__ == "__main__":
    main()
