"""The search use case: embed the query, ask the database once, shape the answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from spandrel.database import Database
from spandrel.errors import EmbeddingRejectedError, NotFoundError
from spandrel.knowledge.ports import Embedder
from spandrel.knowledge.search.filters import compile_filter
from spandrel.knowledge.search.models import SearchAnswer, SearchRequest, Timings
from spandrel.knowledge.stopwords import LANGUAGES
from spandrel.knowledge.terms import query_terms
from spandrel.sql import Queries
from spandrel.vectors import HalfVector, IntArray

if TYPE_CHECKING:
    from spandrel.usage.models import ModelCall
    from spandrel.usage.prices import PriceTable

queries = Queries.beside(__file__)
_LANGUAGES = "{" + ",".join(LANGUAGES) + "}"
EMBEDDED_BYTES = 8191
"""Of a query, for its vector: models take 8,192 tokens, and a token is a byte at least."""


@dataclass(frozen=True, slots=True)
class Search:
    """`embedder` and `prices` are callables: text search must not pay for making them.

    `outlasting`: collections that are gone are left out and not told of, for a session, which names those that it began
    with for as long as it lives.
    """

    database: Database
    embedder: Callable[[], Embedder]
    prices: Callable[[], PriceTable]
    outlasting: bool = False

    def run(
        self, user_id: str, request: SearchRequest, *, charge: Callable[[ModelCall], object] | None = None
    ) -> SearchAnswer:
        """Raises `NotFoundError` naming unknown collections, and what the embedder and the database raise.

        `charge`: takes what the query's vector cost, where it is part of what is charged as a whole. Otherwise it goes
        into the ledger with the search.
        """
        begin = time.perf_counter()
        predicate, variables = compile_filter(request.filter)
        vector, model, call = self._embed(request)
        if call is not None and charge is not None:
            charge(call)
            call = None
        embedded = time.perf_counter()
        parameters: dict[str, Any] = {
            "user_id": user_id,
            "collections": request.collections,
            "model": model,
            "query": vector,
            "terms": None,
            "languages": None,
            "filter": predicate,
            "variables": msgspec.json.encode(variables).decode(),
            "top_k": request.top_k,
            "threshold": request.score_threshold,
        }
        if request.mode != "vector":
            # Bound as they are: a dumper an item would take longer than all else that is done here.
            parameters |= {"terms": IntArray.from_items(query_terms(request.query)), "languages": _LANGUAGES}
        row = self._ask(user_id, parameters, call)
        self._check(request, row, vector, model)
        return _answer(request, row, (embedded - begin) * 1000, begin)

    def _embed(self, request: SearchRequest) -> tuple[HalfVector | None, str | None, ModelCall | None]:
        if request.mode == "text":
            return None, None, None
        embedder = self.embedder()
        start = request.query.encode()[:EMBEDDED_BYTES].decode(errors="ignore")
        embedded = embedder.embed([start])
        return embedded.vectors[0], embedder.model, self._call(embedder.model, embedded.tokens)

    def _call(self, model: str, tokens: int) -> ModelCall | None:
        if not tokens:
            return None
        from spandrel.chat.models import TokenUsage

        return self.prices().call("embedding", model, TokenUsage(tokens, 0, 0))

    def _ask(self, user_id: str, parameters: dict[str, Any], call: ModelCall | None) -> dict[str, Any]:
        """One flight, with the ledger's line or without."""
        if call is None:
            return self.database.run(queries.search_chunks, parameters)[0]
        from spandrel.usage.store import record

        with self.database.transaction(user_id, block=False) as tx:
            found = tx.execute(queries.search_chunks, parameters)
            record(tx, user_id, call, durable=False)
        row: dict[str, Any] = found.fetchall()[0]
        return row

    def _check(self, request: SearchRequest, row: dict[str, Any], vector: HalfVector | None, model: str | None) -> None:
        if request.collections is not None and not self.outlasting:
            found = set(row["found_collections"] or ())
            if missing := [str(wanted) for wanted in request.collections if wanted not in found]:
                raise NotFoundError(
                    f"There is no collection {', '.join(missing)}, or it is not yours.", collections=missing
                )
        if vector is not None and not row["space_ok"]:
            raise EmbeddingRejectedError(
                f"The knowledge base was not built with {model} at {vector.dimensions} dimensions. "
                'Deploy the model that it was built with, or search with mode "text".'
            )


def _answer(request: SearchRequest, row: dict[str, Any], embed_ms: float, begin: float) -> SearchAnswer:
    return SearchAnswer(
        encoded_hits=msgspec.Raw(row["hits"]),
        mode=request.mode,
        vector_path=row["vector_path"],
        text_path=row["text_path"],
        timings=Timings(
            embed_ms=round(embed_ms, 3),
            filter_ms=round(row["filter_ms"], 3),
            vector_ms=round(row["vector_ms"], 3),
            text_ms=round(row["text_ms"], 3),
            database_ms=round(row["total_ms"], 3),
            total_ms=round((time.perf_counter() - begin) * 1000, 3),
        ),
    )
