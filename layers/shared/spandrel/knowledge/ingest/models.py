"""What the stages of the ingest hand to each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from spandrel.knowledge.ingest.chunk import Chunk
from spandrel.knowledge.models import S3Object
from spandrel.vectors import HalfVector, SparseVector


@dataclass(frozen=True, slots=True)
class IngestTask:
    """One document to ingest. `source` None: the state of the object that is already known (a retry)."""

    document_id: UUID
    source: S3Object | None


@dataclass(frozen=True, slots=True)
class PurgeTask:
    """One deleted collection whose documents are to be removed."""

    collection_id: UUID


class LeaseLostError(Exception):
    """The document is no longer this worker's: it was deleted, or a newer upload took over. Nothing is left to do."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A document taken for ingest, with what its stages need to know."""

    document_id: UUID
    owner: UUID
    user_id: str
    collection_id: UUID
    name: str
    content_type: str | None
    version_id: str | None
    attempt: int
    language: str
    chunk_size: int
    chunk_overlap: int
    space_id: int
    model: str
    dimensions: int
    has_vectors: bool = True
    """Whether there may be vectors of it already: of the live version, or of an ingest that did not finish."""


@dataclass(frozen=True, slots=True)
class Weighed:
    """The chunks' term weights, and the number of chunks that each term occurs in."""

    weights: list[SparseVector]
    counts: Counter[int]


@dataclass(frozen=True, slots=True)
class Version:
    """What is to be published: chunks, with a vector and weights each. `content_type` is what the parser found."""

    content_type: str
    chunks: Sequence[Chunk]
    vectors: Sequence[HalfVector]
    weighed: Weighed


def contextual_text(chunk: Chunk) -> str:
    """What is embedded and indexed: the chunk under those of its headings that it does not show itself."""
    above = [heading for heading in chunk.heading_path if heading not in chunk.text]
    return f"{' > '.join(above)}\n\n{chunk.text}" if above else chunk.text
