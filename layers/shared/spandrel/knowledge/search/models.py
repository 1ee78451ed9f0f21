"""A search as it is asked and answered. The OpenAPI document takes its schemas from these types."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec

from spandrel.knowledge.search.filters import Filter

Mode = Literal["hybrid", "vector", "text"]


class SearchRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`collections` left out: all of yours. `score_threshold`: hits with a lower `score` are left out."""

    query: Annotated[str, msgspec.Meta(min_length=1, max_length=8000)]
    collections: Annotated[list[UUID], msgspec.Meta(min_length=1, max_length=100)] | None = None
    filter: Filter | None = None
    top_k: Annotated[int, msgspec.Meta(ge=1, le=50)] = 10
    mode: Mode = "hybrid"
    score_threshold: Annotated[float, msgspec.Meta(ge=0)] | None = None


class ScoreParts(msgspec.Struct, kw_only=True):
    """What the fused score is made of: cosine similarity and BM25, each with its rank (from 1) in its own half.

    `coverage` (0 to 1) is the share of the query's weight that the chunk has. Hybrid `score` is x/(1 + x) with
    x = 2/(1 + vector_rank) + 2n · coverage² · 61/(60 + text_rank) for a query of n distinct terms; a half that did not
    find the chunk adds nothing.
    """

    similarity: float | None
    vector_rank: int | None
    bm25: float | None
    text_rank: int | None
    coverage: float | None


class Hit(msgspec.Struct, kw_only=True):
    """A chunk in its place: character offsets into the document's text, heading path, page (PDF, from 1)."""

    document_id: UUID
    document_name: str
    collection_id: UUID
    ordinal: int
    text: str
    heading_path: list[str]
    page: int | None
    start_offset: int
    end_offset: int
    attributes: dict[str, Any]
    score: float
    parts: ScoreParts


class Timings(msgspec.Struct, kw_only=True):
    """Milliseconds: embedding the query, the database's stages (filter, vector, text, all of them), and the whole."""

    embed_ms: float
    filter_ms: float
    vector_ms: float
    text_ms: float
    database_ms: float
    total_ms: float


class SearchAnswer(msgspec.Struct, kw_only=True):
    """Best first. `vector_path` and `text_path` tell how each half was searched."""

    encoded_hits: msgspec.Raw = msgspec.field(name="hits")
    """JSON, a list of `Hit`, as the database writes it: who passes it on need not read it."""
    mode: Mode
    vector_path: Literal["codes", "graph"] | None
    text_path: Literal["scan", "inverted"] | None
    timings: Timings

    @property
    def found(self) -> bool:
        return bytes(self.encoded_hits) != b"[]"

    @property
    def hits(self) -> list[Hit]:
        """Decoded anew each time."""
        return msgspec.json.decode(self.encoded_hits, type=list[Hit])
