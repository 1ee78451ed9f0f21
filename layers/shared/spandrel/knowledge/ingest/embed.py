"""The embed stage: every chunk gets a vector, and none is paid for twice.

Vectors of unchanged chunks are taken over from the live version or from an ingest that did not finish. The rest is
asked in batches up to the provider's limits; a provider that is over its limits is waited for while the invocation's
time lasts. Before anything is waited for, the vectors that are there already are stashed. What they cost goes into the
ledger with the vectors, in the same transaction.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from spandrel.binary_copy import int2
from spandrel.chat.models import TokenUsage
from spandrel.database import Database
from spandrel.errors import EmbeddingRejectedError, EmbeddingUnavailableError
from spandrel.knowledge.ingest.chunk import Chunk
from spandrel.knowledge.ingest.models import Claim, LeaseLostError, contextual_text
from spandrel.knowledge.ports import Embedded, Embedder
from spandrel.sql import Queries
from spandrel.usage.models import ModelCall
from spandrel.usage.prices import PriceTable
from spandrel.usage.store import record
from spandrel.vectors import HalfVector

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

queries = Queries.beside(__file__)

BATCH_TEXTS = 2048
"""Inputs in one request (OpenAI API, embeddings)."""
BATCH_TOKENS = 250_000
"""Tokens in one request: OpenAI takes 300,000, and headings come on top of a chunk's own count."""
IN_FLIGHT = 4
"""Requests of one document under way at a time: the provider's latency is paid once, its rate limit hardly touched."""
FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 60.0
NAP_SECONDS = 30.0
"""The longest sleep between two renewals of the lease."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a stage may wait: `remaining` gives the seconds left of the invocation, `sleep` passes them."""

    remaining: Callable[[], float]
    sleep: Callable[[float], None] = time.sleep
    margin: float = 15.0


@contextmanager
def embedding(
    database: Database, embedder: Embedder, claim: Claim, chunks: Sequence[Chunk], prices: PriceTable
) -> Iterator[Embedding]:
    """Sends the first requests for `chunks` on their way: the block may do other work before it reads the vectors."""
    if (embedder.model, embedder.dimensions) != (claim.model, claim.dimensions):
        raise EmbeddingRejectedError(
            f"The knowledge base is built with {claim.model} ({claim.dimensions} dimensions); this function is set to "
            f"{embedder.model} ({embedder.dimensions}). Deploy with the same model, or build a space for the new one."
        )
    known = _known_vectors(database, claim, chunks) if claim.has_vectors else {}
    # Equal chunks share a vector; dict order keeps the document's.
    missing = list({chunk.content_hash: chunk for chunk in chunks if chunk.content_hash not in known}.values())
    with _asked(embedder, list(_batches(missing))) as requests:
        yield Embedding(database, claim, chunks, known, requests, prices)


@dataclass(frozen=True, slots=True)
class Embedding:
    """A document's vectors, some known and the rest asked for."""

    database: Database
    claim: Claim
    chunks: Sequence[Chunk]
    known: dict[bytes, HalfVector]
    requests: _Requests
    prices: PriceTable

    def vectors(self, patience: Patience, lease_seconds: float) -> tuple[list[HalfVector], ModelCall | None]:
        """A vector a chunk, in order, and the call that is not in the ledger yet.

        Raises `EmbeddingUnavailableError` when the provider outlasts the patience.
        """
        renew = partial(_renew, self.database, self.claim, lease_seconds)
        unsaved: dict[bytes, HalfVector] = {}
        tokens = 0
        for batch, answer in self.requests.answers(patience, renew):
            fresh = {chunk.content_hash: vector for chunk, vector in zip(batch, answer.vectors, strict=True)}
            self.known.update(fresh)
            unsaved |= fresh
            tokens += answer.tokens
            if self.requests.awaited:  # what needs no waiting goes straight to publishing
                _stash(self.database, self.claim, unsaved, self._call(tokens), lease_seconds)
                unsaved, tokens = {}, 0
        return [self.known[chunk.content_hash] for chunk in self.chunks], self._call(tokens)

    def _call(self, tokens: int) -> ModelCall | None:
        return self.prices.call("embedding", self.claim.model, TokenUsage(tokens, 0, 0)) if tokens else None


def _known_vectors(database: Database, claim: Claim, chunks: Sequence[Chunk]) -> dict[bytes, HalfVector]:
    rows = database.run(
        queries.known_vectors,
        {
            "document_id": claim.document_id,
            "space_id": claim.space_id,
            "hashes": [chunk.content_hash for chunk in chunks],
        },
    )
    return {row["content_hash"]: HalfVector(row["embedding"]) for row in rows}


def _batches(chunks: Sequence[Chunk]) -> Iterator[list[Chunk]]:
    batch: list[Chunk] = []
    tokens = 0
    for chunk in chunks:
        if batch and (len(batch) == BATCH_TEXTS or tokens + chunk.token_count > BATCH_TOKENS):
            yield batch
            batch, tokens = [], 0
        batch.append(chunk)
        tokens += chunk.token_count
    if batch:
        yield batch


class _Requests:
    """The batches' answers in order, with a few requests under way at a time. Waiting and leases stay on the thread
    that reads them.
    """

    def __init__(self, embedder: Embedder, batches: Sequence[Sequence[Chunk]], pool: ThreadPoolExecutor) -> None:
        self._batches, self._left = batches, len(batches)
        self._embedder, self._pool = embedder, pool
        self._pending = deque(map(self._submit, batches[:IN_FLIGHT]))

    def answers(self, patience: Patience, renew: Callable[[], None]) -> Iterator[tuple[Sequence[Chunk], Embedded]]:
        for number, batch in enumerate(self._batches):
            answer = _patiently(self._pending.popleft(), partial(self._submit, batch), patience, renew)
            self._left -= 1
            yield batch, answer
            if number + IN_FLIGHT < len(self._batches):
                self._pending.append(self._submit(self._batches[number + IN_FLIGHT]))

    @property
    def awaited(self) -> bool:
        """Whether an answer is still to come, or did not come as it should."""
        if not self._pending:
            return self._left > 0
        return not self._pending[0].done() or self._pending[0].exception() is not None

    def _submit(self, batch: Sequence[Chunk]) -> Future[Embedded]:
        return self._pool.submit(self._embedder.embed, [contextual_text(chunk) for chunk in batch])


@contextmanager
def _asked(embedder: Embedder, batches: Sequence[Sequence[Chunk]]) -> Iterator[_Requests]:
    from concurrent.futures import ThreadPoolExecutor

    pool = ThreadPoolExecutor(min(len(batches), IN_FLIGHT) or 1)
    try:
        yield _Requests(embedder, batches, pool)
    finally:
        pool.shutdown(cancel_futures=True)


def _patiently(
    answer: Future[Embedded],
    again: Callable[[], Future[Embedded]],
    patience: Patience,
    renew: Callable[[], None],
) -> Embedded:
    wait = FIRST_WAIT_SECONDS
    while True:
        try:
            return answer.result()
        except EmbeddingUnavailableError as error:
            pause = max(wait, error.retry_after or 0)
            if pause > patience.remaining() - patience.margin:
                raise
        while pause > 0:
            renew()
            patience.sleep(min(pause, NAP_SECONDS))
            pause -= NAP_SECONDS
        renew()
        wait = min(wait * 2, LONGEST_WAIT_SECONDS)
        answer = again()


def _renew(database: Database, claim: Claim, lease_seconds: float) -> None:
    if not database.run(queries.renew_lease, _lease(claim, lease_seconds)):
        raise LeaseLostError


def _stash(
    database: Database, claim: Claim, vectors: dict[bytes, HalfVector], call: ModelCall | None, lease_seconds: float
) -> None:
    """Keeps `vectors` and renews the lease. Who lost the document keeps nothing: it may be published already."""
    document, space, user = claim.document_id.bytes, int2(claim.space_id), claim.user_id.encode()
    with database.transaction() as tx:
        tx.copy(queries.copy_stash, ((document, space, hash_, user, vector) for hash_, vector in vectors.items()))
        held = tx.execute(queries.renew_lease, _lease(claim, lease_seconds))
        if call is not None:
            record(tx, claim.user_id, call)
        if held.fetchone() is None:
            raise LeaseLostError


def _lease(claim: Claim, lease_seconds: float) -> dict[str, Any]:
    return {"document_id": claim.document_id, "owner": claim.owner, "lease_seconds": lease_seconds}
