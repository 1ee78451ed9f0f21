"""Search at 100k chunks x 1536 beside langchain-postgres, for tenants of 100 to 100,000 chunks among a thousand small
ones; growth to 1M x 384.

    python -m benchmarks.search [--million]

The whole handler is timed, from API Gateway event to response, warm; only the embedding of the query is left out (a
canned vector stands in for it, on both sides). Recall is against an exact scan. The peer searches the largest tenant's
rows, with an HNSW index over the same vectors; each query goes to us and to it in turn, in alternating order.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import numpy as np
import psycopg

from benchmarks import server
from benchmarks.corpus import Corpus, Tenant, build_graph, half_vectors, load
from functions.vector_search import handler as function
from spandrel import wiring
from spandrel.knowledge.ports import Embedded
from spandrel.knowledge.search.search import Search
from spandrel.knowledge.upkeep import GRAPH_FROM_CHUNKS, INVERTED_FROM_CHUNKS
from spandrel.usage.prices import PriceTable
from spandrel.vectors import HalfVector

QUERIES = 100
TOP_K = 10
NEIGHBOURS, THEIR_CHUNKS = 1000, 10
"""Without them the planner would know that every tenant is large."""
CONTEXT = SimpleNamespace(
    function_name="vector_search", memory_limit_in_mb=1769, invoked_function_arn="arn", aws_request_id="bench"
)


class CannedEmbedder:
    """Gives the vector that was put there."""

    model = "bench"

    def __init__(self, dimensions: int) -> None:
        self.dimensions = dimensions
        self.vector = HalfVector()

    def embed(self, texts: Sequence[str]) -> Embedded:
        return Embedded([self.vector], 0)


def event(user_id: str, body: dict[str, Any]) -> dict[str, Any]:
    claims = {"jwt": {"claims": {"sub": user_id}}}
    return {"requestContext": {"authorizer": claims, "requestId": "bench"}, "body": json.dumps(body)}


def build(url: str, corpus: Corpus, sizes: list[int]) -> dict[int, UUID]:
    collections = {}
    for size in sizes:
        collections[size] = load(url, corpus, Tenant(f"tenant-{size}", size), size >= INVERTED_FROM_CHUNKS)
        print(f"  loaded a tenant of {size:,}", flush=True)
    for number in range(NEIGHBOURS):
        load(url, corpus, Tenant(f"neighbour-{number}", THEIR_CHUNKS), indexed=False)
    print(f"  loaded {NEIGHBOURS:,} neighbours of {THEIR_CHUNKS}", flush=True)
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


Ask = Callable[[int, str, HalfVector, str], dict[str, Any]]
"""Tenant's size, mode, vector and text of the query to the handler's response."""


def ours(url: str, dimensions: int) -> Ask:
    """The deployed handler on the application's role, and nothing logged."""
    embedder = CannedEmbedder(dimensions)
    search = Search(server.as_role(url, "spandrel_app"), lambda: embedder, PriceTable.load)
    wiring.search = lambda: search  # type: ignore[assignment]
    function.milliseconds = lambda *_: None  # type: ignore[assignment]

    def ask(size: int, mode: str, vector: HalfVector, text: str) -> dict[str, Any]:
        embedder.vector = vector
        response: dict[str, Any] = function.handler(
            event(f"tenant-{size}", {"query": text, "mode": mode, "top_k": TOP_K}), CONTEXT
        )
        return response

    return ask


def recall(answers: list[dict[str, Any]], truth: list[set[tuple[UUID, int]]]) -> float:
    found = [json.loads(answer["body"])["hits"] for answer in answers]
    hits = [{(UUID(hit["document_id"]), hit["ordinal"]) for hit in each} for each in found]
    return float(np.mean([len(a & b) / len(b) for a, b in zip(hits, truth, strict=True)]))


def table(url: str, ask: Ask, sizes: dict[int, UUID], vectors: list[HalfVector], texts: list[str]) -> None:
    for size, collection_id in sizes.items():
        row = []
        for mode in ("vector", "text", "hybrid"):
            times = milliseconds(lambda n, mode=mode, size=size: ask(size, mode, vectors[n], texts[n]), QUERIES)
            row.append(f"{mode} p50 {statistics.median(times):5.2f} p95 {times[int(QUERIES * 0.95)]:5.2f}")
        truth = exact(url, collection_id, vectors)
        found = recall([ask(size, "vector", vector, "-") for vector in vectors], truth)
        print(f"  tenant of {size:>9,}: recall@10 {found:.3f} | " + " | ".join(row), flush=True)


def peer(url: str, dimensions: int, collection_id: UUID) -> Callable[[list[float]], object]:
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
    engine.init_vectorstore_table("peer", vector_size=dimensions)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO peer (langchain_id, content, embedding) SELECT uuidv7(), text, embedding::vector"
            " FROM chunks JOIN chunk_embeddings USING (document_id, ordinal) WHERE chunks.collection_id = %s",
            [collection_id],
        )
    embeddings = Canned()
    store = PGVectorStore.create_sync(engine, embeddings, "peer")
    store.apply_vector_index(HNSWIndex())

    def ask(vector: list[float]) -> object:
        embeddings.vector = vector
        return store.similarity_search("", k=TOP_K)

    return ask


def beside(ours: Callable[[int], object], theirs: Callable[[int], object]) -> None:
    """A B, B A, A B …: what the machine does meanwhile falls on both."""
    pairs = []
    for number in range(3 * QUERIES):
        times = {}
        for run in (ours, theirs) if number % 2 else (theirs, ours):
            begin = time.perf_counter()
            run(number % QUERIES)
            times[run] = (time.perf_counter() - begin) * 1000
        if number >= QUERIES:
            pairs.append((times[ours], times[theirs]))
    mine, peers = (statistics.median(each) for each in zip(*pairs, strict=True))
    ratio = statistics.median(b / a for a, b in pairs)
    print(
        f"  in turn with langchain-postgres similarity_search: ours {mine:.2f}, theirs {peers:.2f}, ratio {ratio:.2f}"
    )


def growth(address: str, corpus: Corpus, sizes: list[int], with_peer: bool) -> None:
    dimensions = corpus.dimensions
    print(f"{sum(sizes):,} chunks x {dimensions}, milliseconds a request", flush=True)
    url = server.fresh_database(address, f"search_{dimensions}", "bench", dimensions)
    collections = build(url, corpus, sizes)
    ask = ours(url, dimensions)
    vectors = half_vectors(corpus.vectors(QUERIES))
    texts = [corpus.query_text() for _ in range(QUERIES)]
    table(url, ask, collections, vectors, texts)
    if with_peer:
        largest = max(sizes)
        theirs = peer(url, dimensions, collections[largest])
        floats = [vector.to_list() for vector in vectors]
        beside(lambda n: ask(largest, "vector", vectors[n], texts[n]), lambda n: theirs(floats[n]))


def main() -> None:
    if "--million" in sys.argv:  # alone: it takes half an hour
        with server.postgres() as address:
            growth(address, Corpus(384, words=(30, 60)), [10_000, 100_000, 1_000_000], with_peer=False)
        return
    with server.postgres() as address:
        growth(address, Corpus(1536), [100, 1_000, 10_000, 100_000], with_peer=True)


if __name__ == "__main__":
    main()
