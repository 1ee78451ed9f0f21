"""Search held against a reference that reads everything, while chunks come, go and move between the indexes' states.

Seeds are fixed. The indexes' segments, parts and limits are made small, so that a few hundred chunks cross all of them.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from typing import Any
from uuid import UUID

import pytest

from spandrel.knowledge.ingest.store import queries as ingest_queries
from spandrel.knowledge.models import Collection
from spandrel.knowledge.search.models import Hit
from spandrel.knowledge.store import queries
from spandrel.knowledge.terms import K1, REFERENCE_LENGTH, B, analyzer
from spandrel.vectors import HalfVector
from tests.support import bm25
from tests.support.fakes import bag_of_words
from tests.support.knowledge import ADA, BOB, KnowledgeBase

WORDS = [f"w{n}x" for n in range(100)]
WORDS += ["whale", "whales", "Häuser", "Haus", "the", "der", "étés", "漢字", "鲸鱼的歌声", "iPhone鲸鱼"]
COMMON_FIRST = [1 / (n + 2) for n in range(len(WORDS))]
FILTERS: list[tuple[dict[str, Any] | None, Any]] = [
    (None, lambda kind: True),
    ({"kind": 1}, lambda kind: kind == 1),
    ({"kind": {"ne": 1}}, lambda kind: kind != 1),
    ({"kind": {"gte": 1}}, lambda kind: kind in (1, 2)),
    ({"or": [{"kind": "1"}, {"kind": {"nin": [1, 2, None]}}]}, lambda kind: kind not in (1, 2, None)),
    ({"kind": 7}, lambda kind: False),
]
SMALL = {
    "search_chunks": [("20000;", "100;")],
    "matching_inverted": [("500;", "40;"), ("1000;", "10;"), ("7680", "64")],
    "move_to_inverted": [("7680", "64"), ("950;", "7;")],
    "list_segment": [("7680", "64"), ("7679", "63"), ("1920", "16")],
    "list_blocks": [("15360", "128"), ("1920", "16")],
    "frequent_terms": [("chunks >=", "max_weight > 1.8 OR chunks >")],
    "shared_blocks": [("7680", "64"), ("15360", "128"), ("1920", "16")],
    "common_weights": [("7680", "64")],
}

BLOCKS = """
    SELECT count(*) AS noted,
           count(*) FILTER (
               WHERE b IS NULL OR get_bit("bit"(b.blocks, 128, true), (entry >> 28)::integer % 128) = 0) AS amiss
    FROM (SELECT id, last_number / 64 * 16 AS full FROM collections) c
    JOIN postings p ON p.collection_id = c.id
    CROSS JOIN unnest(p.entries) AS entry
    LEFT JOIN posting_blocks b ON b.collection_id = c.id AND b.term = p.term AND b.part = (entry >> 28) / 128
    WHERE entry >> 28 < c.full
      AND EXISTS (SELECT FROM posting_blocks n WHERE n.collection_id = c.id AND n.term = p.term)
"""
"""Entries of the full segments whose term's blocks are noted, and those of them that are not in those blocks."""


class Library:
    """Two users' collections in the database, and what should be in them."""

    def __init__(self, kb: KnowledgeBase, seed: int) -> None:
        self.kb, self.dice = kb, random.Random(seed)
        owners = [(ADA, "english"), (ADA, "german"), (ADA, "simple"), (BOB, "english")]
        self.collections = [(user, kb.collection(user, f"{n}", language=lg)) for n, (user, lg) in enumerate(owners)]
        self.documents: dict[UUID, tuple[str, Collection, Any, list[str]]] = {}

    def text(self) -> str:
        if self.dice.random() < 0.05:
            return " ".join([self.dice.choice(WORDS)] * 30)  # far heavier than any before
        return " ".join(self.dice.choices(WORDS, COMMON_FIRST, k=self.dice.randint(1, 30)))

    def query(self) -> str:
        few = self.dice.choices(WORDS, COMMON_FIRST, k=3) + self.dice.choices(WORDS, k=self.dice.randint(0, 3))
        return " ".join(self.dice.choice([few, few, few, [*few, *few], ["krill", "the"], ["the", "der"], WORDS]))

    def add(self) -> None:
        user, collection = self.dice.choice(self.collections)
        texts = [self.text() for _ in range(self.dice.choice([1, 5, 20, 60]))]
        kind = self.dice.choice([1, 2, "1", "x", None])
        found = self.kb.publish(collection, texts, user=user, attributes={"kind": kind})
        self.documents[found] = (user, collection, kind, texts)

    def remove(self) -> None:
        found = self.dice.choice(list(self.documents))
        self.kb.documents.delete(self.documents.pop(found)[0], found)

    def move(self) -> None:
        collection = {"collection_id": self.dice.choice(self.collections)[1].id}
        limit = {"limit": self.dice.choice([1, 20, 300])}
        step = self.dice.choice([queries.move_to_inverted] * 3 + [queries.sweep_inverted, ingest_queries.fold_terms])
        self.kb.system.run(step, collection if step is ingest_queries.fold_terms else collection | limit)

    def search(self) -> str | None:
        query, top_k = self.query(), self.dice.choice([1, 3, 10, 50])
        user, (condition, holds) = self.dice.choice([ADA, ADA, BOB]), self.dice.choice(FILTERS)
        mine = [each for owner, each in self.collections if owner == user]
        among = self.dice.sample(mine, self.dice.randint(1, len(mine)))
        request = {"collections": [str(each.id) for each in among], "filter": condition, "top_k": top_k}
        chunks = {
            (document, ordinal): (collection.language, text, holds(kind))
            for document, (_, collection, kind, texts) in self.documents.items()
            if collection in among
            for ordinal, text in enumerate(texts)
        }
        return self.compare(query, user, request, chunks, {each.language for each in among})

    def compare(
        self, query: str, user: str, request: dict[str, Any], chunks: dict[Any, Any], languages: set[str]
    ) -> str | None:
        said = [analyzer(language).counts(query) for language in languages]
        terms = {term for each in said for term in each}
        weights = {key: weigh(text, language, terms) for key, (language, text, _) in chunks.items()}
        worth = {
            t: inverse_frequency(len(chunks), sum(t in each for each in weights.values()))
            * bm25.repeated(max(each[t] for each in said))
            for t in terms
        }
        scores = {key: sum(worth[t] * weight for t, weight in each.items()) for key, each in weights.items()}
        allowed = {key for key, (_, _, passes) in chunks.items() if passes}
        matching = {key: scores[key] for key in allowed if scores[key] > 0}
        answer = self.kb.find(query, user, mode="text", **request)
        hold_against(answer.hits, matching, request["top_k"], 1e-5)
        near = {key: similarity(query, chunks[key][1]) for key in allowed}
        hold_against(self.kb.find(query, user, mode="vector", **request).hits, near, request["top_k"], 2e-3)
        return answer.text_path


def weigh(text: str, language: str, terms: set[int]) -> dict[int, float]:
    counts: Counter[int] = analyzer(language).counts(text)
    norm = K1 * (1 - B + B * counts.total() / REFERENCE_LENGTH)
    return {t: counts[t] * (K1 + 1) / (counts[t] + norm) for t in terms if t in counts}


def inverse_frequency(chunks: int, having: int) -> float:
    return math.log(1 + (chunks - having + 0.5) / (having + 0.5))


def similarity(query: str, text: str) -> float:
    one, other = (HalfVector.from_floats(bag_of_words(each)).to_list() for each in (query, text))
    return sum(a * b for a, b in zip(one, other, strict=True))


def hold_against(hits: list[Hit], expected: dict[Any, float], top_k: int, tolerance: float) -> None:
    """The best, each with the score that is its own; those of one score in the order of their keys."""
    best = sorted(expected.values(), reverse=True)[:top_k]
    assert [hit.score for hit in hits] == pytest.approx(best, rel=tolerance, abs=tolerance)
    keys = [(hit.document_id, hit.ordinal) for hit in hits]
    assert len(set(keys)) == len(keys)
    assert [hit.score for hit in hits] == pytest.approx([expected[key] for key in keys], rel=tolerance, abs=tolerance)
    assert sorted(range(len(hits)), key=lambda n: (-hits[n].score, keys[n])) == list(range(len(hits)))


def make_small(kb: KnowledgeBase) -> None:
    for function, changes in SMALL.items():
        definition = kb.one("SELECT pg_get_functiondef(oid) FROM pg_proc WHERE proname = %s", function)
        for known, small in changes:
            assert known in definition
            definition = definition.replace(known, small)
        kb.rows(definition)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_whatever_happens_the_answer_is_that_of_reading_everything(kb: KnowledgeBase, seed: int) -> None:
    make_small(kb)
    library, paths = Library(kb, seed), Counter[str | None]()
    for _ in range(8):
        library.add()
    for _ in range(50):
        steps = [library.add, library.remove, library.move, library.move] if library.documents else [library.add]
        library.dice.choice(steps)()
        paths.update(library.search() for _ in range(3))
    assert min(paths["scan"], paths["inverted"]) > 10
    assert kb.one("SELECT count(*) FROM common_postings") > 0
    assert kb.one("SELECT count(*) FROM postings WHERE part > 0") > 0
    noted, amiss = kb.rows(BLOCKS)[0].values()
    assert noted > 0
    assert amiss == 0
