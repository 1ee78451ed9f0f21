"""Search at 100k chunks x 1536 beside langchain-postgres, for tenants of 100 to 100,000 chunks among a thousand small
ones; growth to 1M x 384.

    python -m benchmarks.search [--million]

The whole handler is timed, from API Gateway event to response, warm; only the embedding of the query is left out (a
canned vector stands in for it, on both sides). Recall is against an exact scan. The peer searches the largest tenant's
rows, with an HNSW index over the same vectors: with the candidates that it takes by itself, and with as many as it
needs for the recall that is asked of us. Blocks of queries go to us and to it in turn, in alternating order: of 25, as
a process that does nothing else would ask them, and of one, where each of the two drives the other out of the caches.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
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
RECALL = 0.99
CANDIDATES = (40, 50, 64, 80, 100, 150, 200)
"""What the peer may search its graph with, pgvector's default first."""
BLOCKS = (25, 1)
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


Ask = Callable[[], dict[str, Any]]
"""Sends a request to the handler: its response."""
Prepare = Callable[[int, str, HalfVector, str], Ask]
"""Tenant's size, mode, vector and text of the query to a request."""


def milliseconds(runs: Sequence[Callable[[], object]]) -> list[float]:
    times = []
    for run in runs:
        begin = time.perf_counter()
        run()
        times.append((time.perf_counter() - begin) * 1000)
    return sorted(times)


def ours(url: str, dimensions: int) -> Prepare:
    """The deployed handler on the application's role, and nothing logged."""
    embedder = CannedEmbedder(dimensions)
    search = Search(server.as_role(url, "spandrel_app"), lambda: embedder, PriceTable.load)
    wiring.search = lambda: search  # type: ignore[assignment]
    function.milliseconds = lambda *_: None  # type: ignore[assignment]

    def prepare(size: int, mode: str, vector: HalfVector, text: str) -> Ask:
        request = event(f"tenant-{size}", {"query": text, "mode": mode, "top_k": TOP_K})

        def ask() -> dict[str, Any]:
            embedder.vector = vector
            response: dict[str, Any] = function.handler(request, CONTEXT)
            return response

        return ask

    return prepare


def recall(found: Sequence[set[Any]], truth: Sequence[set[Any]]) -> float:
    return float(np.mean([len(a & b) / len(b) for a, b in zip(found, truth, strict=True)]))


def chunks_in(response: dict[str, Any]) -> set[tuple[UUID, int]]:
    return {(UUID(hit["document_id"]), hit["ordinal"]) for hit in json.loads(response["body"])["hits"]}


def table(url: str, prepare: Prepare, sizes: dict[int, UUID], vectors: list[HalfVector], texts: list[str]) -> None:
    for size, collection_id in sizes.items():
        row = []
        for mode in ("vector", "text", "hybrid"):
            asks = [prepare(size, mode, *each) for each in zip(vectors, texts, strict=True)]
            milliseconds(asks)
            times = milliseconds(asks)
            row.append(f"{mode} p50 {statistics.median(times):5.2f} p95 {times[int(QUERIES * 0.95)]:5.2f}")
        found = [chunks_in(prepare(size, "vector", vector, "-")()) for vector in vectors]
        reached = recall(found, exact(url, collection_id, vectors))
        print(f"  tenant of {size:>9,}: recall@10 {reached:.3f} | " + " | ".join(row), flush=True)


def beside(ours: Sequence[Callable[[], object]], theirs: Sequence[Callable[[], object]], block: int) -> str:
    """A B, B A, A B …, blocks of queries each: what the machine does meanwhile falls on both."""
    rounds = []
    for number in range(3 * QUERIES // block):
        begin = number * block % QUERIES
        blocks = [(0, ours[begin : begin + block]), (1, theirs[begin : begin + block])]
        medians = [0.0, 0.0]
        for side, runs in blocks if number % 2 else reversed(blocks):
            medians[side] = statistics.median(milliseconds(runs))
        if number * block >= QUERIES:
            rounds.append(medians)
    mine, peers = (statistics.median(each) for each in zip(*rounds, strict=True))
    ratio = statistics.median(b / a for a, b in rounds)
    return f"blocks of {block}: ours {mine:.2f}, theirs {peers:.2f}, ratio {ratio:.2f}"


def beside_the_peer(url: str, dimensions: int, collection_id: UUID, asks: list[Ask], vectors: list[HalfVector]) -> None:
    from benchmarks import vector_store

    vector_store.fill(url, dimensions, collection_id)
    floats = [vector.to_list() for vector in vectors]
    truth = vector_store.exact(url, floats, TOP_K)
    for candidates in CANDIDATES:
        store = vector_store.VectorStore(url, candidates)
        reached = recall([store.found(vector, TOP_K) for vector in floats], truth)
        if candidates == CANDIDATES[0] or reached >= RECALL:
            theirs = [partial(store.search, vector, TOP_K) for vector in floats]
            print(
                f"  langchain-postgres similarity_search, {candidates} candidates, recall@10 {reached:.3f}", flush=True
            )
            for block in BLOCKS:
                print(f"    {beside(asks, theirs, block)}", flush=True)
        if reached >= RECALL:
            return
    print(f"  langchain-postgres does not reach a recall of {RECALL} with {CANDIDATES[-1]} candidates")


def growth(address: str, corpus: Corpus, sizes: list[int], with_peer: bool) -> None:
    dimensions = corpus.dimensions
    print(f"{sum(sizes):,} chunks x {dimensions}, milliseconds a request", flush=True)
    url = server.fresh_database(address, f"search_{dimensions}", "bench", dimensions)
    collections = build(url, corpus, sizes)
    prepare = ours(url, dimensions)
    vectors = half_vectors(corpus.vectors(QUERIES))
    texts = [corpus.query_text() for _ in range(QUERIES)]
    table(url, prepare, collections, vectors, texts)
    if with_peer:
        largest = max(sizes)
        asks = [prepare(largest, "vector", *each) for each in zip(vectors, texts, strict=True)]
        beside_the_peer(url, dimensions, collections[largest], asks, vectors)


def main() -> None:
    if "--million" in sys.argv:  # alone: it takes half an hour
        with server.postgres() as address:
            growth(address, Corpus(384, words=(30, 60)), [10_000, 100_000, 1_000_000], with_peer=False)
        return
    with server.postgres() as address:
        growth(address, Corpus(1536), [100, 1_000, 10_000, 100_000], with_peer=True)


if __name__ == "__main__":
    main()
