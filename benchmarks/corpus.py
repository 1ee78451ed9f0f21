"""Synthetic chunks: vectors with the low intrinsic dimension of real embeddings, texts with the word statistics of
prose.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import psycopg

from spandrel import binary_copy
from spandrel.binary_copy import int2, int4, text_array
from spandrel.knowledge.ingest.chunk import Chunk
from spandrel.knowledge.ingest.models import Claim
from spandrel.knowledge.ingest.store import queries
from spandrel.knowledge.ingest.weigh import weigh_chunks
from spandrel.vectors import HalfVector

VOCABULARY = 60_000
INTRINSIC_DIMENSIONS = 48
CHUNKS_A_DOCUMENT = 50


@dataclass(frozen=True)
class Tenant:
    user_id: str
    chunks: int


class Corpus:
    """Reproducible: the same seed gives the same chunks."""

    def __init__(self, dimensions: int, seed: int = 7, words: tuple[int, int] = (120, 240)) -> None:
        """`words`: the fewest and the most in a chunk."""
        self.dimensions = dimensions
        self._length = words
        self.random = np.random.default_rng(seed)
        self._basis = self.random.standard_normal((INTRINSIC_DIMENSIONS, dimensions)).astype(np.float32)
        self._topics = self.random.standard_normal((200, INTRINSIC_DIMENSIONS)).astype(np.float32)
        ranks = np.arange(1, VOCABULARY + 1)
        self._odds = ranks**-1.05 / (ranks**-1.05).sum()
        self._words = np.array([_word(rank) for rank in ranks])

    def vectors(self, count: int) -> np.ndarray:
        """(count, dimensions) float32, of length one: a topic, a position in it, and noise in every direction."""
        topic = self._topics[self.random.integers(0, len(self._topics), count)]
        latent = topic + 0.7 * self.random.standard_normal((count, INTRINSIC_DIMENSIONS)).astype(np.float32)
        full = latent @ self._basis + 1.0 * self.random.standard_normal((count, self.dimensions)).astype(np.float32)
        return full / np.linalg.norm(full, axis=1, keepdims=True)

    def texts(self, count: int) -> list[str]:
        """Words drawn by Zipf's law."""
        lengths = self.random.integers(*self._length, count)
        drawn = self._words[self.random.choice(VOCABULARY, int(lengths.sum()), p=self._odds)]
        ends = np.cumsum(lengths)
        return [" ".join(drawn[end - length : end]) for end, length in zip(ends, lengths, strict=True)]

    def query_text(self) -> str:
        """Three to six words as a person would type them: seldom the very commonest, seldom the very rarest."""
        ranks = (10 ** self.random.uniform(1.3, 4.3, self.random.integers(3, 7))).astype(int)
        return " ".join(self._words[np.minimum(ranks, VOCABULARY - 1)])


def _word(rank: int) -> str:
    letters = []
    number = int(rank) * 7919 + 11
    while number:
        number, digit = divmod(number, 20)
        letters.append("bcdfghjklmnpqrstvwxz"[digit] + "aeiou"[digit % 5])
    return "".join(letters)


def half_vectors(vectors: np.ndarray) -> list[HalfVector]:
    halves = vectors.astype(">f2")
    head = struct.pack(">hh", halves.shape[1], 0)
    return [HalfVector(head + row.tobytes()) for row in halves]


def chunks_of(texts: list[str]) -> list[Chunk]:
    return [Chunk(n, text, 0, len(text), (), None, len(text) // 6, uuid.uuid4().bytes) for n, text in enumerate(texts)]


def claim_of(document_id: uuid.UUID, user_id: str, collection_id: uuid.UUID, dimensions: int) -> Claim:
    return Claim(
        document_id, uuid.uuid4(), user_id, collection_id, "", None, None, 1, "english", 400, 60, 1, "bench", dimensions
    )


def load(url: str, corpus: Corpus, tenant: Tenant, indexed: bool) -> uuid.UUID:
    """Fills one collection as the ingest and upkeep would have left it, by bulk: the collection's id."""
    with psycopg.connect(url, autocommit=True) as connection:
        (collection_id,) = connection.execute(
            "INSERT INTO collections (user_id, name) VALUES (%s, 'bench') RETURNING id", [tenant.user_id]
        ).fetchone()
        for begin in range(0, tenant.chunks, 5000):
            count = min(5000, tenant.chunks - begin)
            _load_part(connection, corpus, tenant.user_id, collection_id, count)
        connection.execute("SELECT fold_terms(%s)", [collection_id])
        connection.execute("UPDATE collections SET chunk_count = %s WHERE id = %s", [tenant.chunks, collection_id])
        while indexed and connection.execute("SELECT move_to_inverted(%s, 10000)", [collection_id]).fetchone()[0]:
            pass
    return collection_id


def _load_part(connection: psycopg.Connection, corpus: Corpus, user: str, collection: uuid.UUID, count: int) -> None:
    with connection.transaction():
        vectors = half_vectors(corpus.vectors(count))
        texts = corpus.texts(count)
        for begin in range(0, count, CHUNKS_A_DOCUMENT):
            part = slice(begin, min(begin + CHUNKS_A_DOCUMENT, count))
            chunks = chunks_of(texts[part])
            document_id = connection.execute(
                "INSERT INTO documents (user_id, collection_id, name, status, version, chunk_count, attributes)"
                " VALUES (%s, %s, 'bench', 'ready', 1, %s, jsonb_build_object('part', %s::int)) RETURNING id",
                [user, collection, len(chunks), begin // CHUNKS_A_DOCUMENT % 100],
            ).fetchone()[0]
            _copy_document(connection, document_id, user, collection, chunks, vectors[part])


def _copy_document(connection, document_id, user, collection, chunks, vectors) -> None:  # type: ignore[no-untyped-def]
    weighed = weigh_chunks("english", chunks)
    ids = (document_id.bytes, user.encode(), collection.bytes)
    tables = (
        (queries.copy_chunks, _chunk_rows(ids, chunks)),
        (queries.copy_embeddings, ((ids[0], int4(n), int2(1), ids[1], ids[2], v) for n, v in enumerate(vectors))),
        (queries.copy_terms, ((ids[0], int4(n), ids[1], ids[2], w) for n, w in enumerate(weighed.weights))),
    )
    for statement, rows in tables:
        with connection.cursor().copy(statement) as copy:
            for block in binary_copy.encode(rows):
                copy.write(block)
    terms = sorted(weighed.counts)
    connection.execute(
        "INSERT INTO chunk_codes (collection_id, space_id, document_id, ordinal, user_id, code)"
        " SELECT collection_id, space_id, document_id, ordinal, user_id, binary_quantize(embedding)"
        " FROM chunk_embeddings WHERE document_id = %s",
        [document_id],
    )
    connection.execute(
        "INSERT INTO document_terms (document_id, user_id, collection_id, terms, counts) VALUES (%s, %s, %s, %s, %s)",
        [document_id, user, collection, terms, [weighed.counts[term] for term in terms]],
    )


def _chunk_rows(ids: tuple[bytes, bytes, bytes], chunks: list[Chunk]) -> Iterator[tuple[bytes | None, ...]]:
    for chunk in chunks:
        yield (
            ids[0],
            int4(chunk.ordinal),
            ids[1],
            ids[2],
            chunk.text.encode(),
            int4(0),
            int4(chunk.end),
            text_array(()),
            None,
            int4(chunk.token_count),
            chunk.content_hash,
        )


def build_graph(url: str, collections: list[uuid.UUID]) -> float:
    """Moves whole collections into the HNSW index by building it anew, as a migration of a large table would:
    seconds.
    """
    import time

    with psycopg.connect(url, autocommit=True) as connection:
        begin = time.perf_counter()
        definition = connection.execute(
            "SELECT indexdef FROM pg_indexes WHERE indexname = 'chunk_embeddings_graph_1'"
        ).fetchone()[0]
        connection.execute("DROP INDEX chunk_embeddings_graph_1")
        for table in ("chunk_embeddings", "chunk_codes"):
            connection.execute(f"UPDATE {table} SET in_graph = true WHERE collection_id = ANY (%s)", [collections])
        connection.execute(definition)
        connection.execute("UPDATE collections SET has_graph = true WHERE id = ANY (%s)", [collections])
        connection.execute(
            "UPDATE embedding_spaces SET graph_count = (SELECT coalesce(sum(chunk_count), 0) FROM collections"
            " WHERE has_graph)"
        )
        seconds = time.perf_counter() - begin
        connection.execute("VACUUM (ANALYZE)")
        connection.execute("CHECKPOINT")
    return seconds
