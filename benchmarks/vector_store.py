"""The peer of our vector search: langchain-postgres' PGVectorStore over one tenant's vectors and texts."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import psycopg
from langchain_core.embeddings import Embeddings
from langchain_postgres import PGEngine, PGVectorStore
from langchain_postgres.v2.indexes import HNSWIndex

TABLE = "peer"


class Canned(Embeddings):
    """Gives the vector that was put there."""

    def __init__(self) -> None:
        self.vector: list[float] = []

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        raise AssertionError("nothing is added")

    def embed_query(self, text: str) -> list[float]:
        return self.vector


class VectorStore:
    """`candidates`: pgvector's `hnsw.ef_search`, which the connections bring along: to set it a query would be a
    flight more.
    """

    def __init__(self, url: str, candidates: int) -> None:
        self._embeddings = Canned()
        engine = _engine(f"{url}&options=-c%20hnsw.ef_search%3D{candidates}")
        self._store = PGVectorStore.create_sync(engine, self._embeddings, TABLE)

    def search(self, vector: list[float], count: int) -> list[Any]:
        self._embeddings.vector = vector
        return self._store.similarity_search("", k=count)

    def found(self, vector: list[float], count: int) -> set[str]:
        return {str(document.id) for document in self.search(vector, count)}


def _engine(url: str) -> PGEngine:
    return PGEngine.from_connection_string(url.replace("postgresql://", "postgresql+psycopg://"))


def fill(url: str, dimensions: int, collection_id: UUID) -> None:
    """A table with what the collection has, HNSW-indexed as the peer's guide says."""
    engine = _engine(url)
    engine.init_vectorstore_table(TABLE, vector_size=dimensions)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            f"INSERT INTO {TABLE} (langchain_id, content, embedding) SELECT uuidv7(), text, embedding::vector"
            " FROM chunks JOIN chunk_embeddings USING (document_id, ordinal) WHERE chunks.collection_id = %s",
            [collection_id],
        )
    PGVectorStore.create_sync(engine, Canned(), TABLE).apply_vector_index(HNSWIndex())


def exact(url: str, vectors: list[list[float]], count: int) -> list[set[str]]:
    """What there is to be found."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET enable_indexscan = off")
        statement = f"SELECT langchain_id::text FROM {TABLE} ORDER BY embedding <=> %s::vector LIMIT %s"
        rows = (connection.execute(statement, [str(vector), count]).fetchall() for vector in vectors)
        return [{row[0] for row in each} for each in rows]
