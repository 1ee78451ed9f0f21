"""The weigh stage: what of a chunk the text half of a search reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from spandrel.knowledge.ingest.chunk import Chunk
from spandrel.knowledge.ingest.models import Weighed, contextual_text
from spandrel.knowledge.terms import analyzer, weigh


def weigh_chunks(language: str, chunks: Sequence[Chunk]) -> Weighed:
    """Headings count as words of their chunk: a section's title is often what a question names."""
    weights, chunks_with, counts_of = [], Counter[int](), analyzer(language).counts
    for chunk in chunks:
        counts = counts_of(contextual_text(chunk))
        weights.append(weigh(counts))
        chunks_with.update(counts.keys())
    return Weighed(weights, chunks_with)
