"""Search on real Postgres: scores, recall, fusion, limits of what is seen."""

from __future__ import annotations

import json
import random
import unicodedata
from collections import Counter
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from spandrel.errors import EmbeddingRejectedError, EmbeddingUnavailableError, NotFoundError
from spandrel.knowledge.ingest import store as store_stage
from spandrel.knowledge.search.models import Hit, ScoreParts
from spandrel.knowledge.terms import analyzer
from spandrel.knowledge.upkeep import Upkeep
from spandrel.vectors import HalfVector
from tests.support import bm25
from tests.support.fakes import bag_of_words
from tests.support.knowledge import ADA, BOB, KnowledgeBase
from tests.support.rows_read import cost_of, without_table_scans

WHALES = [
    "Whales sing long songs in the deep sea.",
    "A whale, a whale, a whale!",
    "Sharks do not sing.",
    "The sea is deep and the songs are long, and long is the way of the whales that sing in it.",
    "Nothing of the kind.",
]


def promote(kb: KnowledgeBase, *, graph: bool = True) -> None:
    """Moves everything into the inverted and, if wanted, the HNSW index, however small the collection."""
    Upkeep(kb.system, kb.objects, graph_from=1 if graph else 1_000_000, inverted_from=1).run(60)


def text_scores(kb: KnowledgeBase, query: str, **more: Any) -> list[float]:
    answer = kb.find(query, mode="text", **{"top_k": 50} | more)
    return [hit.parts.bm25 or 0 for hit in answer.hits]


def english(word: str) -> int:
    """The hashed term of a word in an English collection."""
    [term] = analyzer("english").counts(word)
    return term


def texts(hits: list[Hit]) -> list[str]:
    return [hit.text for hit in hits]


# -- BM25


@pytest.mark.parametrize("query", ["whales", "sing songs", "the deep sea", "whale whale kind", "sharks or whales"])
@pytest.mark.parametrize("promoted", [False, True])
def test_scores_equal_a_reference_bm25(kb: KnowledgeBase, query: str, promoted: bool) -> None:
    kb.publish(kb.collection(), WHALES)
    if promoted:
        promote(kb)
    answer = kb.find(query, mode="text", top_k=50)
    assert answer.text_path == ("inverted" if promoted else "scan")
    assert [hit.parts.bm25 for hit in answer.hits] == pytest.approx(bm25.best(WHALES, query, 50), rel=1e-4)


def test_scores_belong_to_the_chunks_that_have_them(kb: KnowledgeBase) -> None:
    kb.publish(kb.collection(), WHALES)
    expected = bm25.scores(WHALES, "whales sing")
    found = {hit.ordinal: hit.parts.bm25 for hit in kb.find("whales sing", mode="text").hits}
    assert found == pytest.approx({n: score for n, score in enumerate(expected) if score > 0}, rel=1e-4)


def test_several_collections_are_scored_as_one(kb: KnowledgeBase) -> None:
    kb.publish(kb.collection(name="one"), WHALES[:2])
    kb.publish(kb.collection(name="two"), WHALES[2:])
    assert text_scores(kb, "whales sing") == pytest.approx(bm25.best(WHALES, "whales sing", 50), rel=1e-4)


def test_a_collection_is_scored_by_itself(kb: KnowledgeBase) -> None:
    one = kb.collection(name="one")
    kb.publish(one, WHALES[:2])
    kb.publish(kb.collection(name="two"), WHALES[2:])
    found = text_scores(kb, "whales sing", collections=[str(one.id)])
    assert found == pytest.approx(bm25.best(WHALES[:2], "whales sing", 50), rel=1e-4)


def test_a_filter_does_not_change_what_a_word_is_worth(kb: KnowledgeBase) -> None:
    collection = kb.collection()
    kb.publish(collection, WHALES[:2], attributes={"kind": "whale"})
    kb.publish(collection, WHALES[2:], attributes={"kind": "other"})
    for promoted in (False, True):
        if promoted:
            promote(kb)
        expected = [score for score in bm25.scores(WHALES, "whales sing")[:2] if score > 0]
        found = text_scores(kb, "whales sing", filter={"kind": "whale"})
        assert found == pytest.approx(sorted(expected, reverse=True), rel=1e-4)


@pytest.mark.parametrize("fold_after", [1, 1000])
@pytest.mark.parametrize("promoted", [False, True])
def test_scores_follow_deletions_and_new_versions(
    kb: KnowledgeBase, monkeypatch: pytest.MonkeyPatch, fold_after: int, promoted: bool
) -> None:
    monkeypatch.setattr(store_stage, "FOLD_AFTER_DOCUMENTS", fold_after)
    collection = kb.collection()
    documents = [kb.add(collection, text, name=f"{n}.txt") for n, text in enumerate(WHALES)]
    if promoted:
        promote(kb)
    kb.documents.delete(ADA, documents[1])
    kb.upload(documents[2], "Sharks sing of whales.")
    kb.add(collection, "Whale songs.", name="new.txt")
    now = [WHALES[0], "Sharks sing of whales.", *WHALES[3:], "Whale songs."]
    for query in ("whales", "sharks sing", "long songs"):
        assert text_scores(kb, query) == pytest.approx(bm25.best(now, query, 50), rel=1e-4)


@pytest.mark.parametrize(("seed", "size", "longest"), [(0, 2500, 60), (1, 2500, 60), (2, 8000, 60), (3, 8000, 240)])
def test_the_inverted_index_finds_what_reading_everything_finds(
    kb: KnowledgeBase, seed: int, size: int, longest: int
) -> None:
    """MaxScore leaves out what cannot reach the best places, and nothing else. 8,000: common terms have a segment."""
    corpus = bm25.Zipf(seed)
    passages = [corpus.text(longest) for _ in range(size)]
    kb.publish(kb.collection(), passages)
    queries = [corpus.query() for _ in range(15)]
    scanned = [text_scores(kb, query) for query in queries]
    promote(kb, graph=False)
    assert kb.find(queries[0], mode="text").text_path == "inverted"
    for query, expected in zip(queries, scanned, strict=True):
        for top_k in (3, 50):
            assert text_scores(kb, query, top_k=top_k) == pytest.approx(expected[:top_k], rel=1e-6)
    assert scanned[0] == pytest.approx(bm25.best(passages, queries[0], 50), rel=1e-3)
    for table in ("common_postings", "posting_blocks"):
        assert (kb.one(f"SELECT count(*) FROM {table}") > 0) == (size > 7680)


def test_blocks_are_shared_where_two_terms_meet_and_where_a_rare_one_is(kb: KnowledgeBase) -> None:
    collection, words = kb.collection(), {"amber": [*range(0, 200, 10)], "basalt": [*range(5, 205, 10), 100]}
    words["cobalt"] = [3000, 3001]
    passages = [" ".join(word for word, where in words.items() if n in where) or "filler" for n in range(7700)]
    kb.publish(collection, passages)
    promote(kb, graph=False)
    shared = b"SELECT shared_blocks(%s, %s, 7700)::text AS bits"
    terms = [english(word) for word in words]
    for user, expected in ((ADA, {101 // 4, 3001 // 4}), (BOB, set[int]())):
        [row] = kb.app.run(shared, [collection.id, terms], user_id=user)
        assert {block for block, bit in enumerate(row["bits"][:1920]) if bit == "1"} == expected
        assert row["bits"][1920:] == "1" * 1920


def read_through_the_lists(kb: KnowledgeBase, passages: list[str], query: str) -> Counter[str]:
    """The rows a table that finding the best three, which are the right ones, takes."""
    kb.publish(kb.collection(), passages)
    promote(kb, graph=False)
    without_table_scans(kb)
    assert text_scores(kb, query, top_k=3) == pytest.approx(bm25.best(passages, query, 3), rel=1e-3)
    return cost_of(kb, lambda: text_scores(kb, query, top_k=3))


def test_a_list_that_is_cheaper_to_sum_than_its_chunks_to_read_is_summed(kb: KnowledgeBase) -> None:
    """The third word alone reaches no good place, but without its list every chunk of the others could, with it."""
    word = {name: [name] * count for name, count in (("amber", 60), ("basalt", 60), ("cobalt", 70))}
    passages = ["amber basalt cobalt"] * 2 + ["amber basalt"] * 8 + [text for texts in word.values() for text in texts]
    passages += [f"filler {number}" for number in range(4000 - len(passages))]
    read = read_through_the_lists(kb, passages, "amber basalt cobalt")
    assert read["chunk_terms"] <= 10


def test_a_common_list_is_not_summed_to_set_the_bar_where_rarer_ones_name_enough_chunks(kb: KnowledgeBase) -> None:
    passages = ["ember"] * 10 + ["flint"] * 1000 + [f"filler {number}" for number in range(3000)]
    read = read_through_the_lists(kb, passages, "ember flint")
    assert read["postings"] == 2  # the short list, for the bar and for the answer


@pytest.mark.parametrize("fold_after", [1, 1000])
def test_the_inverted_index_stays_exact_while_its_collection_changes(
    kb: KnowledgeBase, monkeypatch: pytest.MonkeyPatch, fold_after: int
) -> None:
    """Bounds that pruning relies on must hold for what came after they were set, also for far heavier chunks."""
    monkeypatch.setattr(store_stage, "FOLD_AFTER_DOCUMENTS", fold_after)
    collection, corpus = kb.collection(), bm25.Zipf(11)
    documents = [kb.publish(collection, [corpus.text() for _ in range(500)]) for _ in range(4)]
    promote(kb)
    queries = [corpus.query() for _ in range(10)]
    kb.documents.delete(ADA, documents[0])
    kb.publish(collection, [" ".join([word] * 40) for query in queries for word in query.split()])
    for promoted in (False, True):
        if promoted:
            promote(kb)
        for query in queries:
            everything = {"missing": {"ne": 1}}  # with a filter, a collection of this size is read whole
            for top_k in (1, 10, 50):
                expected = text_scores(kb, query, filter=everything, top_k=top_k)
                assert text_scores(kb, query, top_k=top_k) == pytest.approx(expected, rel=1e-6)
    assert kb.find(queries[0], mode="text").text_path == "inverted"
    assert kb.find(queries[0], mode="text", filter=everything).text_path == "scan"


def test_removed_chunks_do_not_set_the_bar(kb: KnowledgeBase) -> None:
    """What the lists name is taken for a chunk that is there, but not while they name removed ones: the best, here."""
    collection, corpus = kb.collection(), bm25.Zipf(13)
    lasting = [corpus.text(200) for _ in range(1500)]
    queries = [corpus.query() for _ in range(10)]
    kb.publish(collection, lasting)
    best = kb.publish(collection, [query for query in queries for _ in range(20)])
    promote(kb)
    before = [text_scores(kb, query, top_k=5) for query in queries]
    kb.documents.delete(ADA, best)
    for swept in (False, True):
        if swept:
            promote(kb)
        assert (kb.one("SELECT count(*) FROM dead_postings") == 0) == swept
        for query, scores in zip(queries, before, strict=True):
            found = text_scores(kb, query, top_k=5)
            assert found == pytest.approx(bm25.best(lasting, query, 5), rel=1e-3)
            assert found[0] < scores[0]


def test_several_inverted_collections_are_scored_as_one(kb: KnowledgeBase) -> None:
    corpus = bm25.Zipf(5)
    parts = [[corpus.text() for _ in range(size)] for size in (300, 8000, 200)]
    for number, passages in enumerate(parts):
        kb.publish(kb.collection(name=f"part {number}"), passages)
    promote(kb, graph=False)
    for query in (corpus.query() for _ in range(5)):
        for top_k in (3, 50):
            expected = bm25.best([text for part in parts for text in part], query, top_k)
            assert text_scores(kb, query, top_k=top_k) == pytest.approx(expected, rel=1e-3)


def test_a_removed_chunk_is_found_no_more_and_a_new_version_at_once(kb: KnowledgeBase) -> None:
    """The inverted index lists removed chunks until it is swept; before and after, only what lives is found."""
    collection = kb.collection()
    documents = [kb.add(collection, text, name=f"{n}.txt") for n, text in enumerate(WHALES)]
    promote(kb)
    now = dict(zip(documents, WHALES, strict=True))
    for document, text in (
        (documents[0], "Whale songs."),
        (documents[3], "The deep."),
        (documents[0], "Whales, again."),
    ):
        kb.upload(document, text)
        now[document] = text
        for query in ("whales", "deep songs", "again"):
            assert text_scores(kb, query) == pytest.approx(bm25.best(list(now.values()), query, 50), rel=1e-4)
        promote(kb)
        assert kb.one("SELECT count(*) FROM dead_postings") == 0
        for query in ("whales", "deep songs", "again"):
            assert text_scores(kb, query) == pytest.approx(bm25.best(list(now.values()), query, 50), rel=1e-4)


def test_what_is_not_in_the_inverted_index_yet_is_found_beside_what_is(kb: KnowledgeBase) -> None:
    collection = kb.collection()
    kb.publish(collection, WHALES[:3])
    promote(kb)
    kb.publish(collection, WHALES[3:])
    answer = kb.find("whales sing", mode="text", top_k=50)
    assert answer.text_path == "inverted"
    assert [hit.parts.bm25 for hit in answer.hits] == pytest.approx(bm25.best(WHALES, "whales sing", 50), rel=1e-4)


def test_the_inverted_index_obeys_a_list_of_documents(kb: KnowledgeBase) -> None:
    """Only filters that leave very much go this way; here it is asked for by name."""
    collection = kb.collection()
    documents = [kb.publish(collection, [text]) for text in WHALES]
    promote(kb)
    rows = kb.app.run(
        b"SELECT document_id, score FROM matching_chunks(%s::int[], '{1}', %s, %s, 50, true)",
        [[english("whales")], [collection.id], documents[1:3]],
        user_id=ADA,
    )
    assert [row["document_id"] for row in rows] == [documents[1]]
    assert rows[0]["score"] == pytest.approx(bm25.scores(WHALES, "whales")[1], rel=1e-4)


# -- vectors


def similarities(passages: list[str], query: str) -> list[float]:
    asked = HalfVector.from_floats(bag_of_words(query)).to_list()
    stored = [HalfVector.from_floats(bag_of_words(text)).to_list() for text in passages]
    return sorted((sum(a * b for a, b in zip(asked, vector, strict=True)) for vector in stored), reverse=True)


def test_vector_scores_of_a_small_collection_are_exact(kb: KnowledgeBase) -> None:
    corpus = bm25.Zipf(7, vocabulary=200)
    passages = [corpus.text(12) for _ in range(300)]
    kb.publish(kb.collection(), passages)
    for query in (corpus.query() for _ in range(10)):
        answer = kb.find(query, mode="vector", top_k=20)
        assert answer.vector_path == "codes"
        found = [hit.parts.similarity for hit in answer.hits]
        assert found == pytest.approx(similarities(passages, query)[:20], abs=2e-3)


def test_vector_search_obeys_a_filter_exactly(kb: KnowledgeBase) -> None:
    collection, corpus = kb.collection(), bm25.Zipf(8, vocabulary=200)
    groups = {kind: [corpus.text(12) for _ in range(60)] for kind in ("a", "b", "c")}
    for kind, passages in groups.items():
        kb.publish(collection, passages, attributes={"kind": kind})
    query = corpus.query()
    answer = kb.find(query, mode="vector", top_k=20, filter={"kind": "b"})
    assert {hit.attributes["kind"] for hit in answer.hits} == {"b"}
    found = [hit.parts.similarity for hit in answer.hits]
    assert found == pytest.approx(similarities(groups["b"], query)[:20], abs=2e-3)


@pytest.mark.parametrize("graph", [False, True])
def test_a_vector_without_direction_is_near_nothing(kb: KnowledgeBase, graph: bool) -> None:
    """Its cosine is no number, which is no score, and would come before every number."""
    kb.publish(kb.collection(), WHALES)
    zeros = HalfVector.from_floats([0.0] * len(bag_of_words("")))
    kb.rows("UPDATE chunk_embeddings SET embedding = %s::halfvec WHERE ordinal = 0", str(zeros.to_list()))
    promote(kb, graph=graph)
    if graph:
        kb.rows("UPDATE collections SET chunk_count = 50000")  # so large that the graph is searched
    answer = kb.find("whales sing", mode="vector", top_k=50)
    assert answer.vector_path == ("graph" if graph else "codes")
    assert sorted(hit.ordinal for hit in answer.hits) == [1, 2, 3, 4]
    search = b"SELECT hits FROM search_chunks(%s, NULL, %s, %s::halfvec, NULL, NULL, NULL, '{}', 10, NULL)"
    assert kb.app.run(search, [ADA, kb.one("SELECT model FROM embedding_spaces"), zeros]) == [{"hits": "[]"}]


@pytest.mark.parametrize(("vectors", "candidates"), [(50_000, 64), (100_000, 64), (400_000, 128), (1_000_000, 202)])
def test_a_larger_graph_is_searched_with_more_candidates(kb: KnowledgeBase, vectors: int, candidates: int) -> None:
    kb.publish(kb.collection(), WHALES)
    promote(kb)
    kb.rows("UPDATE embedding_spaces SET graph_count = %s", vectors)
    kb.rows("UPDATE collections SET chunk_count = %s", vectors)
    query = HalfVector.from_floats(bag_of_words(WHALES[2]))
    model = kb.one("SELECT model FROM embedding_spaces")
    search = b"SELECT * FROM search_chunks(%s, NULL, %s, %s::halfvec, NULL, NULL, NULL, '{}', 10, NULL)"
    with kb.app.transaction() as tx:
        found = tx.execute(search, [ADA, model, query])
        setting = tx.execute(b"SELECT current_setting('hnsw.ef_search')::integer AS candidates")
    assert found.fetchall()[0]["vector_path"] == "graph"
    assert setting.fetchall() == [{"candidates": candidates}]


@pytest.mark.parametrize("filtered", [False, True])
def test_recall_through_the_graph(kb: KnowledgeBase, filtered: bool) -> None:
    """The graph is for collections larger than a test makes; here it is asked for by name."""
    collection, dice = kb.collection(), random.Random(3)
    passages = [" ".join(f"word{dice.randrange(400)}" for _ in range(12)) for _ in range(1500)]
    documents = [kb.publish(collection, passages[n : n + 500]) for n in range(0, 1500, 500)]
    promote(kb)
    kb.publish(collection, passages[:10])  # some that are not in the graph yet
    known = documents[:2] if filtered else None
    hits = expected = 0
    for _ in range(20):
        query = HalfVector.from_floats(bag_of_words(" ".join(f"word{dice.randrange(400)}" for _ in range(8))))
        exact = kb.rows(
            """SELECT 1 - (embedding::halfvec(64) <=> %s::text::halfvec(64)) AS similarity FROM chunk_embeddings
               WHERE %s::uuid[] IS NULL OR document_id = ANY (%s) ORDER BY 1 DESC LIMIT 10""",
            str(query.to_list()),
            known,
            known,
        )
        near = kb.app.run(
            b"""SELECT n.similarity FROM embedding_spaces s, LATERAL (
                    SELECT score AS similarity FROM unnest(
                        nearest_in_graph(s.id, %(query)s::halfvec, %(collections)s, %(documents)s::uuid[], 40))
                    UNION ALL
                    SELECT similarity FROM nearest_by_code(
                        s.id, %(query)s::halfvec, %(collections)s, %(documents)s::uuid[], 10, 40, true)
                ) n WHERE s.status = 'active' ORDER BY n.similarity DESC LIMIT 10""",
            {"query": query, "collections": [collection.id], "documents": known},
            user_id=ADA,
        )
        expected += len(exact)
        # Many are equally near, so what counts is how near.
        hits += sum(row["similarity"] >= exact[-1]["similarity"] - 1e-6 for row in near)
    assert hits / expected >= 0.95


@pytest.mark.parametrize("nearest_first", [False, True])
def test_the_codes_within_reach_are_the_nearest_of_all(kb: KnowledgeBase, nearest_first: bool) -> None:
    """How near is near is told by a sample of the first; one that lies about the rest must cost time, not hits."""
    collection, space = kb.collection(), kb.one("SELECT ensure_embedding_space('wide', 1536)")
    document = kb.announce(collection)
    kb.rows(
        """INSERT INTO chunk_embeddings (document_id, ordinal, space_id, user_id, collection_id, embedding)
           SELECT %s, n, %s, 'ada', %s,
                  array_agg(random_normal() + CASE WHEN %s THEN 3000 - n ELSE n END / 3000.0)::halfvec
           FROM generate_series(1, 3000) AS n, generate_series(1, 1536) GROUP BY n""",
        *(document, space, collection.id, nearest_first),
    )
    kb.rows(
        """INSERT INTO chunk_codes (collection_id, space_id, document_id, ordinal, user_id, code)
           SELECT collection_id, space_id, document_id, ordinal, user_id, binary_quantize(embedding)
           FROM chunk_embeddings WHERE space_id = %s""",
        space,
    )
    ones = HalfVector.from_floats([1.0] * 1536)
    nearest = kb.rows(
        "SELECT ordinal FROM chunk_embeddings ORDER BY embedding <=> %s::text::halfvec LIMIT 10", str(ones.to_list())
    )
    for believed in (1, 3000, 1_000_000):  # chunks; the fewer of many should be near, the shorter the reach
        rows = kb.app.run(
            b"""SELECT n.ordinal FROM embedding_spaces s, nearest_by_code(s.id, %s::halfvec, %s, NULL, %s, 10, false) n
                WHERE s.id = %s ORDER BY n.similarity DESC""",
            [ones, [collection.id], believed, space],
            user_id=ADA,
        )
        assert rows == nearest


def test_every_space_is_searched_through_its_own_graph(kb: KnowledgeBase) -> None:
    """One function, a branch a space, written anew with each."""
    collection = kb.collection()
    document = kb.publish(collection, WHALES)
    promote(kb)
    space = kb.one("SELECT ensure_embedding_space('next-3', 3)")
    kb.rows(
        """INSERT INTO chunk_embeddings (document_id, ordinal, space_id, in_graph, user_id, collection_id, embedding)
           VALUES (%s, 0, %s, true, 'ada', %s, '[1,0,0]'), (%s, 1, %s, true, 'ada', %s, '[0,1,0]')""",
        *(document, space, collection.id) * 2,
    )
    near = b"SELECT ordinal, score AS similarity FROM unnest(nearest_in_graph(%s::smallint, %s::halfvec, %s, NULL, 5))"
    small = HalfVector.from_floats([0.0, 1.0, 0.0])
    rows = kb.app.run(near, [space, small, [collection.id]], user_id=ADA)
    assert [tuple(row.values()) for row in rows] == [(1, 1), (0, 0)]
    assert kb.app.run(near, [space, small, [collection.id]], user_id=BOB) == []
    first = kb.one("SELECT id FROM embedding_spaces WHERE status = 'active'")
    query = HalfVector.from_floats(bag_of_words(WHALES[2]))
    assert kb.app.run(near, [first, query, [collection.id]], user_id=ADA)[0]["ordinal"] == 2


def test_promotion_loses_and_doubles_nothing(kb: KnowledgeBase) -> None:
    kb.publish(kb.collection(), WHALES)
    before = kb.find("whales sing", top_k=50).hits
    promote(kb)
    assert kb.find("whales sing", top_k=50).hits == before


# -- fusion


def test_hybrid_scores_are_reciprocal_rank_fusion_by_coverage(kb: KnowledgeBase) -> None:
    kb.publish(kb.collection(), WHALES)
    hits = kb.find("whales sing", top_k=50).hits
    assert len(hits) == len(WHALES)
    assert {hit.parts.text_rank is None for hit in hits} == {True, False}
    for hit in hits:
        parts = hit.parts
        near = 2 / (1 + parts.vector_rank) if parts.vector_rank else 0
        match = 61 / (60 + parts.text_rank) * (parts.coverage or 0) ** 2 if parts.text_rank else 0
        both = near + 2 * 2 * match  # two terms
        assert hit.score == pytest.approx(both / (1 + both), abs=1e-6)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


@pytest.mark.parametrize("query", ["whales", "whales sing", "whales krill", "krill", "whale krill, krill krill"])
def test_coverage_is_the_share_of_what_a_chunk_full_of_the_query_would_get(kb: KnowledgeBase, query: str) -> None:
    kb.publish(kb.collection(), WHALES)
    most = bm25.ceiling(WHALES, query)
    for hit in kb.find(query, mode="text", top_k=50).hits:
        assert hit.parts.coverage == pytest.approx((hit.parts.bm25 or 0) / most, rel=1e-4)
        assert 0 < (hit.parts.coverage or 0) < 1


def test_ranks_are_those_of_each_half_alone(kb: KnowledgeBase) -> None:
    kb.publish(kb.collection(), WHALES)
    hybrid = {hit.ordinal: hit.parts for hit in kb.find("whales sing", top_k=50).hits}
    for rank, hit in enumerate(kb.find("whales sing", mode="vector", top_k=50).hits, 1):
        assert (hybrid[hit.ordinal].vector_rank, hybrid[hit.ordinal].similarity) == (rank, hit.parts.similarity)
    for rank, hit in enumerate(kb.find("whales sing", mode="text", top_k=50).hits, 1):
        assert (hybrid[hit.ordinal].text_rank, hybrid[hit.ordinal].bm25) == (rank, hit.parts.bm25)


def test_hits_have_the_names_of_the_contract(kb: KnowledgeBase) -> None:
    """The database writes them."""
    kb.publish(kb.collection(), WHALES)
    hits = json.loads(bytes(kb.find("whales sing").encoded_hits))
    assert len(hits) == len(WHALES)
    for hit in hits:
        assert tuple(hit) == Hit.__struct_fields__
        assert tuple(hit["parts"]) == ScoreParts.__struct_fields__


def test_with_one_half_alone_its_own_score_counts(kb: KnowledgeBase) -> None:
    kb.publish(kb.collection(), WHALES)
    vector, text = (kb.find("whales sing", mode=mode).hits[0] for mode in ("vector", "text"))
    assert vector.score == pytest.approx(vector.parts.similarity, abs=1e-6)
    assert (vector.parts.bm25, vector.parts.text_rank) == (None, None)
    assert text.score == pytest.approx(text.parts.bm25, abs=1e-6)
    assert (text.parts.similarity, text.parts.vector_rank) == (None, None)


def test_text_mode_asks_for_no_vector(kb: KnowledgeBase) -> None:
    kb.publish(kb.collection(), WHALES)
    answer = kb.find("whales", mode="text")
    assert kb.embedder.calls == []
    assert answer.vector_path is None


@pytest.mark.parametrize("query", ["ab " * 2666, "漢字" * 4000, "😀" * 8000])
def test_a_query_is_never_longer_than_what_a_model_takes(kb: KnowledgeBase, query: str) -> None:
    """OpenAI's take 8,192 tokens; a token is a byte at least."""
    kb.collection()
    kb.find(query)
    [asked] = kb.embedder.texts
    assert query.startswith(asked)
    assert 8000 <= len(asked.encode()) + 8 < 8192 + 8


def test_vector_mode_reads_no_words(kb: KnowledgeBase) -> None:
    kb.publish(kb.collection(), WHALES)
    assert kb.find("whales", mode="vector").text_path is None


@pytest.mark.parametrize("top_k", [1, 3, 50])
def test_no_more_than_top_k_hits(kb: KnowledgeBase, top_k: int) -> None:
    kb.publish(kb.collection(), WHALES)
    assert len(kb.find("whales sing", top_k=top_k).hits) == min(top_k, len(WHALES))


@pytest.mark.parametrize("mode", ["hybrid", "vector", "text"])
def test_hits_below_the_threshold_are_left_out(kb: KnowledgeBase, mode: str) -> None:
    """A hit's own score is none that leaves it out."""
    kb.publish(kb.collection(), WHALES)
    every = kb.find("whales sing", mode=mode, top_k=50).hits
    for threshold in {hit.score for hit in every if hit.score >= 0}:
        kept = kb.find("whales sing", mode=mode, top_k=50, score_threshold=threshold).hits
        assert kept == [hit for hit in every if hit.score >= threshold]
    assert kb.find("whales sing", mode=mode, score_threshold=1000).hits == []


# -- what a hit tells


def test_a_hit_can_be_shown_in_its_place(kb: KnowledgeBase) -> None:
    content = "# Sea\n\nWater.\n\n## Whales\n\nWhales sing.\n"
    collection = kb.collection()
    document = kb.add(collection, content, name="sea.md", attributes={"year": 1851})
    hit = kb.find("whales sing", mode="text").hits[0]
    assert (hit.document_id, hit.document_name, hit.collection_id) == (document, "sea.md", collection.id)
    assert hit.heading_path == ["Sea", "Whales"]
    assert hit.text == content[hit.start_offset : hit.end_offset]
    assert (hit.page, hit.attributes) == (None, {"year": 1851})


def test_a_heading_above_finds_its_section(kb: KnowledgeBase) -> None:
    words = " ".join(f"filler{n}" for n in range(300))
    kb.add(kb.collection(chunk_size=50, chunk_overlap=0), f"# Cetology\n\n{words}\n")
    assert len(kb.find("cetology", mode="text", top_k=50).hits) > 3


def test_timings_are_told(kb: KnowledgeBase) -> None:
    kb.publish(kb.collection(), WHALES)
    timings = kb.find("whales").timings
    assert 0 <= timings.filter_ms + timings.vector_ms + timings.text_ms <= timings.database_ms <= timings.total_ms


# -- whose it is


def test_other_users_chunks_neither_appear_nor_count(kb: KnowledgeBase) -> None:
    kb.publish(kb.collection(), WHALES)
    before = kb.find("whales sing", top_k=50).hits
    kb.publish(kb.collection(BOB), ["Whales sing whales sing.", *(f"whale {n}" for n in range(50))], user=BOB)
    assert kb.find("whales sing", top_k=50).hits == before
    promote(kb)
    assert kb.find("whales sing", top_k=50).hits == before
    assert len(kb.find("whales sing", BOB, top_k=50, mode="text").hits) == 50


def test_the_inverted_index_is_closed_to_other_users(kb: KnowledgeBase) -> None:
    collection = kb.collection()
    kb.publish(collection, WHALES)
    promote(kb)
    listed = b"SELECT count(*) AS n FROM posting_entries(ARRAY[%s::int], ARRAY[1.0], %s)"
    scored = b"SELECT count(*) AS n FROM posting_scores('{4294967297,4294967298}', '{1:1}/1048576', %s, NULL)"
    for user, lists, chunks in ((ADA, 3, 2), (BOB, 0, 0), (None, 0, 0)):
        assert kb.app.run(listed, [english("whales"), [collection.id]], user_id=user) == [{"n": lists}]
        assert kb.app.run(scored, [[collection.id]], user_id=user) == [{"n": chunks}]


@pytest.mark.parametrize("mode", ["hybrid", "vector", "text"])
def test_collections_that_are_unknown_foreign_or_deleted_are_named(kb: KnowledgeBase, mode: str) -> None:
    mine, gone, foreign = kb.collection(name="mine"), kb.collection(name="gone"), kb.collection(BOB)
    kb.collections.delete(ADA, gone.id)
    for missing in (uuid4(), gone.id, foreign.id):
        with pytest.raises(NotFoundError) as caught:
            kb.find("whales", mode=mode, collections=[str(mine.id), str(missing)])
        assert caught.value.members == {"collections": [str(missing)]}


def test_a_deleted_collection_is_not_searched(kb: KnowledgeBase) -> None:
    collection = kb.collection()
    kb.publish(collection, WHALES)
    kb.collections.delete(ADA, collection.id)
    assert kb.find("whales").hits == []


def test_a_user_without_collections_finds_nothing(kb: KnowledgeBase) -> None:
    assert kb.find("whales").hits == []


def test_an_empty_collection_has_no_hits(kb: KnowledgeBase) -> None:
    assert kb.find("whales", collections=[str(kb.collection().id)]).hits == []


# -- languages


def test_words_are_stemmed_by_the_collection_s_language(kb: KnowledgeBase) -> None:
    kb.publish(kb.collection(name="de", language="german"), ["Die Häuser am See waren alt."])
    kb.publish(kb.collection(name="en"), ["The houses by the lake were old."])
    assert texts(kb.find("Haus", mode="text").hits) == ["Die Häuser am See waren alt."]
    assert texts(kb.find("house", mode="text").hits) == ["The houses by the lake were old."]


def test_a_stop_word_of_one_language_is_a_word_of_another(kb: KnowledgeBase) -> None:
    kb.publish(kb.collection(name="de", language="german"), ["Er war da.", "Kein Wort."])
    english = kb.collection(name="en")
    kb.publish(english, ["The war is over.", "Peace came."])
    assert texts(kb.find("war", mode="text").hits) == ["The war is over."]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("हिन्दी", "हिन्दी भाषा"),
        ("हिन्द", None),
        ("शब्द", None),  # shares letters, but no word
        (unicodedata.normalize("NFD", "Việt"), "Tiếng Việt"),
        ("العربية", "اللُّغَةُ العَرَبِيَّةُ"),
        ("ISTANBUL", "İstanbul"),
        ("ไทย", "ภาษาไทย"),
    ],
)
def test_words_are_found_with_their_marks_or_whole_without(kb: KnowledgeBase, query: str, found: str | None) -> None:
    passages = ["हिन्दी भाषा", "Tiếng Việt", "اللُّغَةُ العَرَبِيَّةُ", "İstanbul", "ภาษาไทย"]
    kb.publish(kb.collection(language="simple"), passages)
    assert texts(kb.find(query, mode="text").hits) == ([found] if found else [])


def test_words_of_scripts_without_spaces_are_found_within_a_run(kb: KnowledgeBase) -> None:
    kb.publish(kb.collection(language="simple"), ["我喜欢鲸鱼的歌声", "今天天气很好", "クジラは歌う"])
    assert texts(kb.find("鲸鱼", mode="text").hits) == ["我喜欢鲸鱼的歌声"]
    assert texts(kb.find("クジラ", mode="text").hits) == ["クジラは歌う"]


@pytest.mark.parametrize("query", ["python", "言語", "2024"])
def test_scripts_that_are_written_without_a_space_between_are_found_apart(kb: KnowledgeBase, query: str) -> None:
    kb.publish(kb.collection(language="simple"), ["Python言語の2024年版", "クジラは歌う"])
    assert texts(kb.find(query, mode="text").hits) == ["Python言語の2024年版"]


@pytest.mark.parametrize("query", ["the of and", "?!", " ", "\u0000"])
def test_a_query_without_words_finds_no_text(kb: KnowledgeBase, query: str) -> None:
    kb.publish(kb.collection(), WHALES)
    assert kb.find(query, mode="text").hits == []
    assert len(kb.find(query, mode="hybrid").hits) == len(WHALES)  # by its vector


# -- models and providers


def test_a_model_that_the_knowledge_base_was_not_built_with_is_refused(kb: KnowledgeBase) -> None:
    kb.publish(kb.collection(), WHALES)
    kb.embedder.model = "another"
    with pytest.raises(EmbeddingRejectedError, match="not built with another at 64 dimensions"):
        kb.find("whales")
    assert kb.find("whales", mode="text").hits


def test_a_vector_of_other_dimensions_is_refused(kb: KnowledgeBase) -> None:
    kb.publish(kb.collection(), WHALES)
    kb.embedder.dimensions = 32
    with pytest.raises(EmbeddingRejectedError):
        kb.find("whales")


def test_a_provider_that_is_away_is_told(kb: KnowledgeBase) -> None:
    kb.embedder.failures.append(EmbeddingUnavailableError())
    with pytest.raises(EmbeddingUnavailableError):
        kb.find("whales")


def test_vectors_of_a_space_being_built_are_not_searched(kb: KnowledgeBase) -> None:
    document = kb.publish(kb.collection(), WHALES)
    space = kb.one("SELECT ensure_embedding_space('next-64', 64)")
    kb.rows(
        """INSERT INTO chunk_embeddings (document_id, ordinal, space_id, user_id, collection_id, embedding)
           SELECT document_id, ordinal, %s, user_id, collection_id, embedding FROM chunk_embeddings""",
        space,
    )
    hits = kb.find("whales", mode="vector", top_k=50).hits
    assert sorted(hit.ordinal for hit in hits) == list(range(len(WHALES)))
    assert {hit.document_id for hit in hits} == {document}


def test_one_space_is_active_at_a_time(kb: KnowledgeBase) -> None:
    kb.one("SELECT ensure_embedding_space('next-64', 64)")
    with pytest.raises(psycopg.errors.UniqueViolation):
        kb.rows("UPDATE embedding_spaces SET status = 'active'")


def test_a_large_collection_is_searched_through_its_indexes_among_many_small_ones(kb: KnowledgeBase) -> None:
    """Where most collections are small, the planner takes each to be, and would rather read it whole."""
    collection, dice = kb.collection(), random.Random(5)
    text, modes = "whales sing word7 word8", ("text", "vector", "hybrid")
    for number in range(300):
        kb.publish(collection, [f"Whales sing {number} " + " ".join(f"word{dice.randrange(400)}" for _ in range(9))])
        if number == 10:
            assert {len(kb.find(text, mode=mode).hits) for mode in modes} == {10}  # planned now, and for some time
    promote(kb)
    document = kb.publish(kb.collection(BOB), WHALES, user=BOB)
    changes = """jsonb_build_object('document_id', md5('d' || n)::uuid, 'collection_id', md5('c' || n)::uuid,
                                    'user_id', 'user-' || n)"""
    for table in ("chunk_embeddings", "chunk_codes", "chunk_terms", "chunks"):
        kb.rows(
            f"""INSERT INTO {table} SELECT (jsonb_populate_record(one.row, {changes})).*
                FROM (SELECT t AS row FROM {table} t WHERE document_id = %s) one, generate_series(1, 1000) AS n""",
            document,
        )
    new = [cost_of(kb, lambda mode=mode: kb.find(text, mode=mode)) for mode in modes]
    without_table_scans(kb)
    query = HalfVector.from_floats(bag_of_words(text))
    near = b"""SELECT n.* FROM embedding_spaces s, unnest(nearest_in_graph(s.id, %s::halfvec, %s, NULL, 10)) n
               WHERE s.status = 'active'"""
    cost = cost_of(kb, lambda: kb.app.run(near, [query, [collection.id]], user_id=ADA))
    assert 10 <= cost["chunk_embeddings"] <= 100
    known = [cost_of(kb, lambda mode=mode: kb.find(text, mode=mode)) for mode in modes]
    assert [(cost["documents"], cost["chunks"]) for cost in new + known] == [(10, 10)] * 6
