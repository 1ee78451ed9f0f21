"""The store stage: a document's new version, written whole and made visible with its event in one transaction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from spandrel.binary_copy import int2, int4, text_array
from spandrel.database import Database, Transaction
from spandrel.knowledge.ingest.chunk import Chunk
from spandrel.knowledge.ingest.models import Claim, LeaseLostError, Version
from spandrel.sql import Queries
from spandrel.usage.models import ModelCall
from spandrel.usage.store import record
from spandrel.vectors import IntArray

queries = Queries.beside(__file__)

FOLD_AFTER_DOCUMENTS = 128
"""Unfolded term counts that a search may still sum up by itself."""


def publish(database: Database, claim: Claim, version: Version, call: ModelCall | None = None) -> None:
    """Replaces the live version by `version`, or raises `LeaseLostError` and changes nothing.

    `call`: what its vectors cost, where that is not in the ledger yet.
    """
    counts = version.weighed.counts
    with database.transaction() as tx:
        held = tx.execute(queries.lock_for_publish, {"document_id": claim.document_id, "owner": claim.owner})
        if held.fetchone() is None:
            raise LeaseLostError
        _copy(tx, claim, version)
        tx.execute(queries.publish_codes, {"document_id": claim.document_id, "space_id": claim.space_id})
        if call is not None:  # the sums come after the collection, and before the feed
            tx.execute(queries.lock_collection, {"collection_id": claim.collection_id})
            record(tx, claim.user_id, call)
        published = tx.execute(
            queries.publish_document,
            {
                "document_id": claim.document_id,
                "user_id": claim.user_id,
                "collection_id": claim.collection_id,
                "content_type": version.content_type,
                "chunks": len(version.chunks),
                "tokens": sum(chunk.token_count for chunk in version.chunks),
                "terms": IntArray.from_items(list(counts)),
                "counts": IntArray.from_items(list(counts.values())),
            },
        )
    row = published.fetchone()
    if row and row["unfolded"] >= FOLD_AFTER_DOCUMENTS:
        database.run(queries.fold_terms, {"collection_id": claim.collection_id})


def _copy(tx: Transaction, claim: Claim, version: Version) -> None:
    document, collection, user = claim.document_id.bytes, claim.collection_id.bytes, claim.user_id.encode()
    space = int2(claim.space_id)
    ordinals = [int4(chunk.ordinal) for chunk in version.chunks]
    # The vectors first: the server is longest at work on them, and meanwhile the rest is put together.
    tx.copy_all(
        {
            queries.copy_embeddings: (
                (document, n, space, user, collection, vector)
                for n, vector in zip(ordinals, version.vectors, strict=True)
            ),
            queries.copy_chunks: _chunk_rows(document, user, collection, version.chunks),
            queries.copy_terms: (
                (document, n, user, collection, terms)
                for n, terms in zip(ordinals, version.weighed.weights, strict=True)
            ),
        }
    )


def _chunk_rows(document: bytes, user: bytes, collection: bytes, chunks: Sequence[Chunk]) -> Iterator[Sequence[Any]]:
    for chunk in chunks:
        yield (
            document,
            int4(chunk.ordinal),
            user,
            collection,
            chunk.text.encode(),
            int4(chunk.start),
            int4(chunk.end),
            text_array(chunk.heading_path),
            None if chunk.page is None else int4(chunk.page),
            int4(chunk.token_count),
            chunk.content_hash,
        )
