"""How chunks are put together into requests; the rest of the stage is shown on a real database."""

from __future__ import annotations

import pytest

from spandrel.knowledge.ingest import embed
from spandrel.knowledge.ingest.chunk import Chunk, content_hash
from spandrel.knowledge.ingest.embed import BATCH_TEXTS, BATCH_TOKENS
from spandrel.knowledge.ingest.models import contextual_text


def chunk(tokens: int, text: str = "text", path: tuple[str, ...] = ()) -> Chunk:
    return Chunk(0, text, 0, len(text), path, None, tokens, content_hash(path, text))


def sizes(chunks: list[Chunk]) -> list[int]:
    return [len(batch) for batch in embed._batches(chunks)]


def test_the_limits_are_the_provider_s() -> None:
    assert BATCH_TEXTS == 2048
    assert BATCH_TOKENS <= 300_000


@pytest.mark.parametrize(("count", "expected"), [(0, []), (1, [1]), (2048, [2048]), (2049, [2048, 1])])
def test_a_request_has_no_more_texts_than_allowed(count: int, expected: list[int]) -> None:
    assert sizes([chunk(1)] * count) == expected


def test_a_request_has_no_more_tokens_than_allowed() -> None:
    assert sizes([chunk(2000)] * 300) == [125, 125, 50]


def test_a_chunk_larger_than_a_request_goes_alone() -> None:
    assert sizes([chunk(1), chunk(BATCH_TOKENS + 1), chunk(1)]) == [1, 1, 1]


def test_headings_that_a_chunk_does_not_show_stand_above_it() -> None:
    assert contextual_text(chunk(1, "Whales sing.", ("Sea", "Whales"))) == "Sea\n\nWhales sing."
    assert contextual_text(chunk(1, "They sing.", ("Sea", "Whales"))) == "Sea > Whales\n\nThey sing."
    assert contextual_text(chunk(1, "They sing.")) == "They sing."
